/* onnx.h - the operators of ONNX that a net can be made of.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_ONNX_H
#define NET_ONNX_H

#include "format/onnx.h"
#include "net/net.h"

enum { ONNX_NEWEST_OPSET = 23 };

/* Rows in alphabetical order; ends with op NULL. docs/onnx.md is printed from them. */
typedef struct onnx_row {
    const char *op;
    int first, last; /* opsets */
    const char *becomes, *limits;
} onnx_row;
const onnx_row *onnx_row_at(int index); /* NULL: behind the last */

/* A finished net from a description. Every operator is looked at before the first node is built.
 * LENS_UNSUPPORTED: an operator, or a use of one, that no net can express, with node and opset;
 * LENS_BAD_FILE: a graph that contradicts itself. `where` begins the messages. */
lens_status net_from_onnx(lens_ctx *, lens_net **out, const onnx_model *, const char *where);

#endif
