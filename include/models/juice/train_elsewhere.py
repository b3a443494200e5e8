"""How trained_elsewhere.txt was made, by LightGBM alone: what a team has that meets Slipstream later.

python include/models/juice/train_elsewhere.py PATH_OF_OJ.csv
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightgbm
import pandas as pd

INPUTS = ["loyalty", "price_difference", "special_ch", "special_mm", "store"]
NAMES = {"LoyalCH": "loyalty", "PriceDiff": "price_difference", "SpecialCH": "special_ch", "SpecialMM": "special_mm"}

if __name__ == "__main__":
    rows = pd.read_csv(sys.argv[1]).rename(columns=NAMES | {"StoreID": "store"})
    parameters = {
        "objective": "binary",
        "num_leaves": 6,
        "learning_rate": 0.1,
        "num_threads": 1,
        "seed": 7,
        "verbose": -1,
    }
    data = lightgbm.Dataset(rows[INPUTS], (rows.Purchase == "MM").astype(int))
    booster = lightgbm.train(parameters, data, num_boost_round=40)
    Path(__file__).with_name("trained_elsewhere.txt").write_text(booster.model_to_string(), encoding="utf-8")
