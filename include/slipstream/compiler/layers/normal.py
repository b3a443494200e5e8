"""The quantile function of the normal distribution, as SciPy computes it (Cephes), for shares that are not tiny."""

from __future__ import annotations

import numpy as np

from slipstream.compiler.program import Floats

_TAIL = 0.13533528323661269189
_MIDDLE_OVER = (
    *(-5.99633501014107895267e1, 9.80010754185999661536e1, -5.66762857469070293439e1),
    *(1.39312609387279679503e1, -1.23916583867381258016e0),
)
_MIDDLE_UNDER = (
    *(1.0, 1.95448858338141759834e0, 4.67627912898881538453e0, 8.63602421390890590575e1),
    *(-2.25462687854119370527e2, 2.00260212380060660359e2, -8.20372256168333339912e1),
    *(1.59056225126211695515e1, -1.18331621121330003142e0),
)
_TAIL_OVER = (
    *(4.05544892305962419923e0, 3.15251094599893866154e1, 5.71628192246421288162e1, 4.40805073893200834700e1),
    *(1.46849561928858024014e1, 2.18663306850790267539e0, -1.40256079171354495875e-1),
    *(-3.50424626827848203418e-2, -8.57456785154685413611e-4),
)
_TAIL_UNDER = (
    *(1.0, 1.57799883256466749731e1, 4.53907635128879210584e1, 4.13172038254672030440e1),
    *(1.50425385692907503408e1, 2.50464946208309415979e0, -1.42182922854787788574e-1),
    *(-3.80806407691578277194e-2, -9.33259480895457427372e-4),
)


def quantile(shares: Floats) -> Floats:
    """The deviate below which each share lies; shares between 1e-13 and 1 - 1e-13."""
    upper = shares > 1.0 - _TAIL
    folded = np.where(upper, 1.0 - shares, shares)
    middle = folded - 0.5
    square = middle * middle
    inner = middle + middle * (square * np.polyval(_MIDDLE_OVER, square) / np.polyval(_MIDDLE_UNDER, square))
    root = np.sqrt(-2.0 * np.log(folded))
    small = 1.0 / root
    outer = root - np.log(root) / root - small * np.polyval(_TAIL_OVER, small) / np.polyval(_TAIL_UNDER, small)
    return np.asarray(np.where(folded > _TAIL, inner * 2.50662827463100050242, np.where(upper, outer, -outer)))
