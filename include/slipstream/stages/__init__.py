"""The stages: one module per verb, each a function from (spec, store, input ids) to a frozen dataclass of ids."""
