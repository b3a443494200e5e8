"""What may stand in a model beside skops' own trusted types, by import path.

Each is harmless to load and to call on numbers. Names, not folders: a path below ``sklearn.`` may lead anywhere that
scikit-learn imports from. Tree nodes are indexed without bounds checks by scikit-learn, so a model is loaded only from
the train run's own object or after its bundle's signature was verified.
"""

from __future__ import annotations

from collections.abc import Mapping

_SKLEARN: Mapping[str, str] = {
    "_loss.loss": "HalfTweedieLoss HalfTweedieLossIdentity",
    "calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
    "compose._column_transformer": "make_column_selector",
    "ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
    "feature_selection._univariate_selection": "chi2 f_classif f_oneway f_regression r_regression",
    "gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    "gaussian_process.kernels": "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern "
    "PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel",
    "metrics._classification": "accuracy_score balanced_accuracy_score brier_score_loss d2_brier_score "
    "d2_log_loss_score f1_score jaccard_score log_loss matthews_corrcoef precision_score recall_score",
    "metrics._dist_metrics": "ChebyshevDistance64 EuclideanDistance64 HaversineDistance64 ManhattanDistance64 "
    "MinkowskiDistance64",
    "metrics._ranking": "average_precision_score roc_auc_score top_k_accuracy_score",
    "metrics._regression": "d2_absolute_error_score explained_variance_score max_error mean_absolute_error "
    "mean_absolute_percentage_error mean_gamma_deviance mean_poisson_deviance mean_squared_error "
    "mean_squared_log_error median_absolute_error r2_score root_mean_squared_error root_mean_squared_log_error",
    "metrics._scorer": "_CurveScorer _PassthroughScorer _Scorer",
    "model_selection._search_successive_halving": "HalvingGridSearchCV HalvingRandomSearchCV",
    "model_selection._split": "GroupKFold KFold RepeatedKFold RepeatedStratifiedKFold ShuffleSplit "
    "StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit",
    "neighbors._ball_tree": "BallTree",
    "neighbors._kd_tree": "KDTree",
    "neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "tree._tree": "Tree",
    "utils._bunch": "Bunch",
    "utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
}
_IMBALANCED: Mapping[str, str] = {
    "combine._smote_enn": "SMOTEENN",
    "combine._smote_tomek": "SMOTETomek",
    "ensemble._bagging": "BalancedBaggingClassifier",
    "ensemble._easy_ensemble": "EasyEnsembleClassifier",
    "ensemble._forest": "BalancedRandomForestClassifier",
    "ensemble._weight_boosting": "RUSBoostClassifier",
    "over_sampling._adasyn": "ADASYN",
    "over_sampling._random_over_sampler": "RandomOverSampler",
    "over_sampling._smote.base": "SMOTE SMOTEN SMOTENC",
    "over_sampling._smote.cluster": "KMeansSMOTE",
    "over_sampling._smote.filter": "BorderlineSMOTE SVMSMOTE",
    "pipeline": "Pipeline",
    "under_sampling._prototype_generation._cluster_centroids": "ClusterCentroids",
    "under_sampling._prototype_selection._condensed_nearest_neighbour": "CondensedNearestNeighbour",
    "under_sampling._prototype_selection._edited_nearest_neighbours": "AllKNN EditedNearestNeighbours "
    "RepeatedEditedNearestNeighbours",
    "under_sampling._prototype_selection._instance_hardness_threshold": "InstanceHardnessThreshold",
    "under_sampling._prototype_selection._nearmiss": "NearMiss",
    "under_sampling._prototype_selection._neighbourhood_cleaning_rule": "NeighbourhoodCleaningRule",
    "under_sampling._prototype_selection._one_sided_selection": "OneSidedSelection",
    "under_sampling._prototype_selection._random_under_sampler": "RandomUnderSampler",
    "under_sampling._prototype_selection._tomek_links": "TomekLinks",
}


_BOOSTERS = (
    "catboost.core.CatBoostClassifier",
    "catboost.core.CatBoostRegressor",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
)


def _paths(library: str, names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{library}.{module}.{name}" for module, listed in names.items() for name in listed.split())


TRUSTED: tuple[str, ...] = (
    "builtins.object",
    "collections.OrderedDict",
    "numpy.dtype",
    "numpy.mean",
    "numpy.number",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "slipstream.adapters.catboost.CatboostModel",
    "slipstream.adapters.lightgbm.LightgbmModel",
    "slipstream.adapters.onnx.OnnxModel",
    "slipstream.adapters.sklearn.SklearnModel",
    "slipstream.adapters.xgboost.XgboostModel",
    "slipstream.trainers.date_parts.DateParts",
    "slipstream.trainers.catboost_labels.FlatCatBoostClassifier",
    "slipstream.trainers.texts.Texts",
    "slipstream.trainers.xgboost_labels.LabelXGBClassifier",
    *_BOOSTERS,
    *_paths("sklearn", _SKLEARN),
    *_paths("imblearn", _IMBALANCED),
)
