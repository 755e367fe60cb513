"""Tables, figures and claims, made from tidy scores."""
