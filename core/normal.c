/* core/normal.c -- quantiles of the normal distribution. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/normal.h"

#include <gsl/gsl_cdf.h>

double atn_normal_above(double probability)
{
    return gsl_cdf_ugaussian_Qinv(probability);
}

double atn_normal_critical(double level, double n)
{
    return atn_normal_above(level / (n > 1 ? n : 1) / 2);
}
