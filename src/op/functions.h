/* functions.h - the functions of the operators unary and binary by name, for who works out constants.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OP_FUNCTIONS_H
#define OP_FUNCTIONS_H

#include "op/op.h"

/* Names in the order of the table; NULL behind the last. */
const char *unary_name(int index);
const char *binary_name(int index);

/* One value; NaN for a name that is not in the table. */
float unary_value(const char *name, float x, float alpha, float beta);
double binary_value(const char *name, double a, double b);

#endif
