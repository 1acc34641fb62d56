"""Agreement of instances on a reconstructed surface with true ones: intersection over union on points of the truth.

Legend: N points. Label 0 is none.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

__all__ = ["instance_ious"]


def instance_ious(predicted: Int[np.ndarray, " N"], true: Int[np.ndarray, " N"]) -> Float[np.ndarray, " K"]:
    """Intersection over union of every true instance with the predicted one that it is matched with.

    Instances are matched one to one so that the sum is largest; labels need not agree. True instances without a match
    score 0; predicted ones without a match count only by what they take from others.

    Args:
        predicted, true: labels of the same points, such as evenly spread points of the true surface.
    """
    wanted, found = (np.unique(labels[labels > 0]) for labels in (true, predicted))
    table = np.zeros((len(wanted), len(found)))
    for row, label in enumerate(wanted):
        mine = true == label
        for column, other in enumerate(found):
            theirs = predicted == other
            table[row, column] = (mine & theirs).sum() / (mine | theirs).sum()
    rows, columns = linear_sum_assignment(table, maximize=True)
    ious = np.zeros(len(wanted))
    ious[rows] = table[rows, columns]
    return ious
