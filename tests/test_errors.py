from hsipipe.errors import UserError, unknown


def test_message_names_file_key_found_and_remedy():
    error = UserError("is wrong", file="a.hdr", key="bands", found=3, remedy="say 4")
    assert str(error) == "a.hdr: bands: is wrong (found 3); say 4"


def test_message_is_one_line():
    assert "\n" not in str(UserError("two\nlines", found="x\ny"))


def test_unknown_suggests_the_nearest():
    assert "did you mean 'hyres'" in str(unknown("method", "hyers", ["hyres", "forpdn"]))


def test_unknown_without_anything_near_lists_what_there_is():
    text = str(unknown("method", "zzzz", ["hyres", "forpdn"]))
    assert "did you mean" not in text
    assert "forpdn, hyres" in text
