/* first.c - a small network, built layer by layer and trained on the built-in pictures.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lenslet.h>
#include <stdio.h>

int main(void) {
    lens_ctx *ctx;
    lens_data *data = NULL;
    lens_train_result result;
    if (lens_ctx_new(&ctx, NULL, NULL) != LENS_OK) return 1;

    lens_net *net = lens_net_new(ctx, "first");
    lens_node *x = lens_input(net, "data", 3, 28, 28);
    x = lens_relu(lens_conv2d(x, "conv1", (lens_conv2d_opts){ .out = 8, .kernel = { 5 } }), NULL);
    x = lens_maxpool(x, NULL, (lens_pool_opts){ .kernel = { 2 } });
    x = lens_dense(x, "fc", (lens_dense_opts){ .out = 6 });

    lens_status status = lens_net_finish(net, x);
    if (status == LENS_OK) status = lens_data_open(ctx, &data, "shapes", NULL);
    if (status == LENS_OK)
        status = lens_train(net, data, &(lens_train_opts){ .epochs = 2, .seed = 1 }, &result);
    if (status == LENS_OK) printf("%.1f %% right\n", 100 * result.test_accuracy);
    if (status != LENS_OK) puts(lens_why(ctx));

    lens_data_free(data);
    lens_net_free(net);
    lens_ctx_free(ctx);
    return status != LENS_OK;
}
