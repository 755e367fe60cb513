"""Names of the classes 1, 2, ... of the catalogued scenes, which their label files do not hold."""

from __future__ import annotations

_ANOMALY = ["anomaly"]
_INDIAN_PINES = [
    "Alfalfa", "Corn-notill", "Corn-mintill", "Corn", "Grass-pasture", "Grass-trees", "Grass-pasture-mowed",
    "Hay-windrowed", "Oats", "Soybean-notill", "Soybean-mintill", "Soybean-clean", "Wheat", "Woods",
    "Buildings-Grass-Trees-Drives", "Stone-Steel-Towers",
]  # fmt: skip
_BY_SCENE = {
    "indian-pines": _INDIAN_PINES,
    "indian-pines-subset": _INDIAN_PINES,
    "pavia-university": [
        "Asphalt", "Meadows", "Gravel", "Trees", "Painted metal sheets", "Bare soil", "Bitumen",
        "Self-blocking bricks", "Shadows",
    ],
    "pavia-centre-full": [
        "Water", "Trees", "Asphalt", "Self-blocking bricks", "Bitumen", "Tiles", "Shadows", "Meadows", "Bare soil",
    ],
    "salinas": [
        "Broccoli green weeds 1", "Broccoli green weeds 2", "Fallow", "Fallow rough plough", "Fallow smooth", "Stubble",
        "Celery", "Grapes untrained", "Soil vineyard develop", "Corn senesced green weeds", "Lettuce romaine 4 weeks",
        "Lettuce romaine 5 weeks", "Lettuce romaine 6 weeks", "Lettuce romaine 7 weeks", "Vineyard untrained",
        "Vineyard vertical trellis",
    ],
    "whu-hi-longkou": [
        "Corn", "Cotton", "Sesame", "Broad-leaf soybean", "Narrow-leaf soybean", "Rice", "Water", "Roads and houses",
        "Mixed weed",
    ],
    "kennedy-space-center": [
        "Scrub", "Willow swamp", "Cabbage palm hammock", "Cabbage palm/oak hammock", "Slash pine",
        "Oak/broadleaf hammock", "Hardwood swamp", "Graminoid marsh", "Spartina marsh", "Cattail marsh", "Salt marsh",
        "Mud flats", "Water",
    ],
    "botswana": [
        "Water", "Hippo grass", "Floodplain grasses 1", "Floodplain grasses 2", "Reeds", "Riparian", "Firescar",
        "Island interior", "Acacia woodlands", "Acacia shrublands", "Acacia grasslands", "Short mopane", "Mixed mopane",
        "Exposed soils",
    ],
}  # fmt: skip


def class_names_of(scene: str) -> list[str]:
    """Class names of a scene, label 1 first; empty where they are not known (EnMAP Potsdam, Houston).

    The lists are those of the "Hyperspectral Remote Sensing Scenes" page of the Grupo de Inteligencia Computacional,
    University of the Basque Country, and of Y. Zhong and others, Remote Sensing of Environment 250, 2020, for WHU-Hi;
    `abu-...` and `pavia-centre` have anomaly maps (Kang et al. 2017).
    """
    if scene.startswith("abu-") or scene == "pavia-centre":
        return list(_ANOMALY)
    return list(_BY_SCENE.get(scene, []))
