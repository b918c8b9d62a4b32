/* lenslet.h - everything: networks, training, data, figures, filters, the machine.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LENSLET_H
#define LENSLET_H

#include <lenslet/base.h>
#include <lenslet/data.h>
#include <lenslet/explain.h>
#include <lenslet/figure.h>
#include <lenslet/image.h>
#include <lenslet/machine.h>
#include <lenslet/net.h>
#include <lenslet/signal.h>
#include <lenslet/tensor.h>
#include <lenslet/train.h>
#include <lenslet/zoo.h>

#endif
