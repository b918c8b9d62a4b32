/* test_zoo_passports.c - the large families have exactly the numbers of their papers' tables: totals,
 * parts, receptive fields.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <lenslet/zoo.h>

static lens_net *new_net(lens_ctx *ctx, const char *name, const lens_zoo_opts *opts) {
    lens_net *net = NULL;
    assert_ok(ctx, lens_zoo_new(ctx, &net, name, opts));
    return net;
}

/* The node of this name and all nodes below it: "layer1" has "layer1.0.conv1", not "layer10". */
static bool belongs(const char *name, const char *part) {
    size_t length = strlen(part);
    return !strncmp(name, part, length) && (!name[length] || name[length] == '.');
}

typedef struct sums {
    int64_t parameters, macs, conv, bn, dense;
} sums;

/* Over the nodes of a part; NULL: of the net. */
static sums sums_of(const lens_net *net, const char *part) {
    sums s = { 0 };
    for (int i = 0; i < lens_net_nodes(net); i++) {
        lens_node_info info;
        lens_node_info_get(lens_net_node(net, i), &info);
        if (part ? !belongs(info.name, part) : info.training) continue;
        s.parameters += info.parameters;
        s.macs += info.macs;
        if (!strcmp(info.kind, "conv2d")) s.conv += info.parameters;
        if (!strcmp(info.kind, "batchnorm")) s.bn += info.parameters;
        if (!strcmp(info.kind, "dense")) s.dense += info.parameters;
    }
    return s;
}

typedef struct passport {
    const char *name;
    sums want; /* conv, bn and dense 0: the table gives the total alone */
} passport;

static void check_passports(const passport *rows, size_t count) {
    lens_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < count; i++) {
        const sums *want = &rows[i].want;
        lens_net *net = new_net(ctx, rows[i].name, NULL);
        sums got = sums_of(net, NULL);
        assert_int_equal(lens_net_parameters(net), got.parameters);
        assert_int_equal(lens_net_macs(net), got.macs);
        if (got.parameters != want->parameters || got.macs != want->macs)
            fail_msg("%s: %lld parameters, %lld MACs instead of %lld, %lld", rows[i].name,
                     (long long)got.parameters, (long long)got.macs, (long long)want->parameters,
                     (long long)want->macs);
        if (want->conv &&
            (got.conv != want->conv || got.bn != want->bn || got.dense != want->dense))
            fail_msg("%s: %lld + %lld + %lld instead of %lld + %lld + %lld parameters",
                     rows[i].name, (long long)got.conv, (long long)got.bn, (long long)got.dense,
                     (long long)want->conv, (long long)want->bn, (long long)want->dense);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

#define CHECK_PASSPORTS(...)                                                                       \
    const passport rows[] = { __VA_ARGS__ };                                                       \
    check_passports(rows, sizeof rows / sizeof *rows)

static void alexnets(void **state) {
    (void)state;
    CHECK_PASSPORTS({ "alexnet-2012", { 60965224, 724406816, 2334080, 0, 58631144 } },
                    { "alexnet", { 61100840, 714188480, 2469696, 0, 58631144 } });
}

static void zfnets(void **state) {
    (void)state;
    CHECK_PASSPORTS({ "zfnet", { 62357608, 1168032896, 3726464, 0, 58631144 } },
                    { "zfnet-b", { 107627624, 2476704896, 11247744, 0, 96379880 } });
}

static void vggs(void **state) {
    (void)state;
    CHECK_PASSPORTS({ "vgg11", { 132863336, 7609090048, 9220480, 0, 123642856 } },
                    { "vgg11_bn", { 132868840, 7609090048, 9220480, 5504, 123642856 } },
                    { "vgg13", { 133047848, 11308466176, 9404992, 0, 123642856 } },
                    { "vgg13_bn", { 133053736, 11308466176, 9404992, 5888, 123642856 } },
                    { "vgg16-c", { 133638952, 11770888192, 9996096, 0, 123642856 } },
                    { "vgg16", { 138357544, 15470264320, 14714688, 0, 123642856 } },
                    { "vgg16_bn", { 138365992, 15470264320, 14714688, 8448, 123642856 } },
                    { "vgg19", { 143667240, 19632062464, 20024384, 0, 123642856 } },
                    { "vgg19_bn", { 143678248, 19632062464, 20024384, 11008, 123642856 } });
}

static void googlenets(void **state) {
    (void)state;
    CHECK_PASSPORTS({ "googlenet-v1", { 6998552, 1582671872, 5973552, 0, 1025000 } },
                    { "googlenet", { 6624904, 1498376192, 5585344, 14560, 1025000 } });
}

/* Each head: mean 5x5/3 -> 4x4, 128@1x1, 1024, 1000. PyTorch's have batch norm instead of biases. */
static void auxiliary_heads(void **state) {
    (void)state;
    static const struct {
        const char *net, *head;
        int64_t parameters;
    } rows[] = {
        { "googlenet-v1", "aux1", 3188840 },
        { "googlenet-v1", "aux2", 3190888 },
        { "googlenet", "aux1", (13004888 - 6624904 - 16 * 128) / 2 },
        { "googlenet", "aux2", (13004888 - 6624904 + 16 * 128) / 2 },
    };
    lens_ctx *ctx = test_ctx(1);
    int64_t macs = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lens_net *net = new_net(ctx, rows[i].net, NULL);
        sums got = sums_of(net, rows[i].head);
        assert_int_equal(got.parameters, rows[i].parameters);
        macs += got.macs;
        if (i == 1) assert_int_equal(macs, INT64_C(1591044096) - 1582671872);
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

/* Options A and C of resnet34 by hand: B's three projections have 64*128 + 128*256 + 256*512 weights
 * and 2*(128 + 256 + 512) of batch norm; each lies on 28*28, 14*14 or 7*7 positions: 6,422,528 MACs. C
 * has 16 of them, 3 of 64 by 64, 3 more of 128, 5 more of 256, 2 more of 512: 12,845,056 MACs each. */
static void resnets(void **state) {
    (void)state;
    enum { B_CONV = 172032, B_BN = 1792, C_CONV = 3 * 4096 + 3 * 16384 + 5 * 65536 + 2 * 262144 };
    enum { C_BN = 2 * (3 * 64 + 3 * 128 + 5 * 256 + 2 * 512) };
    CHECK_PASSPORTS({ "resnet18", { 11689512, 1814073344, 11166912, 9600, 513000 } },
                    { "resnet34", { 21797672, 3663761408, 21267648, 17024, 513000 } },
                    { "resnet34-a",
                      { 21797672 - B_CONV - B_BN, 3663761408 - 3 * 6422528, 21267648 - B_CONV,
                        17024 - B_BN, 513000 } },
                    { "resnet34-c",
                      { 21797672 + C_CONV + C_BN, 3663761408 + 13 * 12845056, 21267648 + C_CONV,
                        17024 + C_BN, 513000 } },
                    { "resnet50", { 25557032, 4089184256, 23454912, 53120, 2049000 } },
                    { "resnet50-v1", { 25557032, 3857973248, 23454912, 53120, 2049000 } },
                    { "resnet101", { 44549160, 7801405440, 42394816, 105344, 2049000 } },
                    { "resnet101-v1", { 44549160, 7570194432, 42394816, 105344, 2049000 } },
                    { "resnet152", { 60192808, 11513626624, 57992384, 151424, 2049000 } },
                    { "resnet152-v1", { 60192808, 11282415616, 57992384, 151424, 2049000 } });
}

static void cifar_resnets(void **state) {
    (void)state;
    CHECK_PASSPORTS({ "resnet20", { 269722, 40551040, 267696, 1376, 650 } },
                    { "resnet20-b", { 272474, 40813184, 270256, 1568, 650 } },
                    { "resnet32", { 464154, 68862592, 461232, 2272, 650 } },
                    { "resnet44", { 658586, 97174144, 654768, 3168, 650 } },
                    { "resnet56", { 853018, 125485696, 848304, 4064, 650 } },
                    { "resnet110", { 1727962, 252887680, 1719216, 8096, 650 } },
                    { "resnet1202", { 19421274, 2829238912, 19330992, 89632, 650 } },
                    { "resnet18-cifar", { 11173962, 555422720, 11159232, 9600, 5130 } });
}

static void densenets(void **state) {
    (void)state;
    CHECK_PASSPORTS({ "densenet121", { 7978856, 2834161664, 6870208, 83648, 1025000 } },
                    { "densenet169", { 14149480, 3359843328, 12326080, 158400, 1665000 } },
                    { "densenet201", { 20013928, 4291365888, 17863872, 229056, 1921000 } },
                    { "densenet264", { 33337704, 5751653376, 30250176, 398528, 2689000 } },
                    { "densenet161", { 28681000, 7727907072, 26252064, 219936, 2209000 } },
                    { "densenet-40-12", { 1019722, 264812928, 997136, 18096, 4490 } },
                    { "densenet-100-12", { 6979642, 1769516448, 6850736, 117216, 11690 } },
                    { "densenet-bc-100-12", { 769162, 287929692, 741744, 23988, 3430 } },
                    { "densenet-bc-250-24", { 15324406, 5418785724, 15049080, 257976, 17350 } },
                    { "densenet-bc-190-40", { 25624430, 9301945740, 25345560, 256960, 21910 } });
}

/* Parameters as published with the two models; MACs: PyTorch lists 0.819 and 0.349 G. */
static void squeezenets(void **state) {
    (void)state;
    CHECK_PASSPORTS({ "squeezenet1_0", { 1248424, 818924576, 1248424, 0, 0 } },
                    { "squeezenet1_1", { 1235496, 349151936, 1235496, 0, 0 } });
}

/* ---- parts ---------------------------------------------------------------------------------- */

/* One row of a paper's table; the shape is that of the last node of the part. */
typedef struct part {
    const char *net, *name;
    int c, h;
    int64_t parameters, macs; /* macs -1: the table does not say */
} part;

static void check_parts(const part *rows, size_t count) {
    lens_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < count; i++) {
        lens_net *net = new_net(ctx, rows[i].net, NULL);
        for (; i < count && !strcmp(rows[i].net, lens_net_name(net)); i++) {
            sums got = sums_of(net, rows[i].name);
            lens_node_info info = { 0 };
            for (int n = 0; n < lens_net_nodes(net); n++) {
                lens_node_info next;
                lens_node_info_get(lens_net_node(net, n), &next);
                if (belongs(next.name, rows[i].name)) info = next;
            }
            if (info.c != rows[i].c || info.h != rows[i].h || info.w != rows[i].h)
                fail_msg("%s %s is %dx%dx%d", rows[i].net, rows[i].name, info.c, info.h, info.w);
            if (got.parameters != rows[i].parameters)
                fail_msg("%s %s: %lld parameters instead of %lld", rows[i].net, rows[i].name,
                         (long long)got.parameters, (long long)rows[i].parameters);
            if (rows[i].macs >= 0 && got.macs != rows[i].macs)
                fail_msg("%s %s: %lld MACs instead of %lld", rows[i].net, rows[i].name,
                         (long long)got.macs, (long long)rows[i].macs);
        }
        i--;
        lens_net_free(net);
    }
    lens_ctx_free(ctx);
}

#define CHECK_PARTS(...)                                                                           \
    const part rows[] = { __VA_ARGS__ };                                                           \
    check_parts(rows, sizeof rows / sizeof *rows)

static void alexnet_parts(void **state) {
    (void)state;
    CHECK_PARTS({ "alexnet-2012", "conv1", 96, 55, 34944, 105415200 },
                { "alexnet-2012", "pool1", 96, 27, 0, 0 },
                { "alexnet-2012", "conv2", 256, 27, 307456, 223948800 },
                { "alexnet-2012", "pool2", 256, 13, 0, 0 },
                { "alexnet-2012", "conv3", 384, 13, 885120, 149520384 },
                { "alexnet-2012", "conv4", 384, 13, 663936, 112140288 },
                { "alexnet-2012", "conv5", 256, 13, 442624, 74760192 },
                { "alexnet-2012", "pool5", 256, 6, 0, 0 },
                { "alexnet-2012", "fc6", 4096, 1, 37752832, 37748736 },
                { "alexnet-2012", "fc7", 4096, 1, 16781312, 16777216 },
                { "alexnet-2012", "fc8", 1000, 1, 4097000, 4096000 },
                { "alexnet", "features.0", 64, 55, 23296, 70276800 },
                { "alexnet", "features.3", 192, 27, 307392, 223948800 },
                { "alexnet", "features.6", 384, 13, 663936, 112140288 },
                { "alexnet", "features.8", 256, 13, 884992, 149520384 },
                { "alexnet", "features.10", 256, 13, 590080, 99680256 },
                { "alexnet", "features.12", 256, 6, 0, 0 });
}

static void zfnet_parts(void **state) {
    (void)state;
    CHECK_PARTS(
        { "zfnet", "conv1", 96, 110, 14208, 170755200 }, { "zfnet", "pool1", 96, 55, 0, 0 },
        { "zfnet", "conv2", 256, 26, 614656, 415334400 }, { "zfnet", "pool2", 256, 13, 0, 0 },
        { "zfnet", "conv3", 384, 13, 885120, 149520384 },
        { "zfnet", "conv4", 384, 13, 1327488, 224280576 },
        { "zfnet", "conv5", 256, 13, 884992, 149520384 }, { "zfnet", "pool5", 256, 6, 0, 0 });
}

static void vgg_parts(void **state) {
    (void)state;
    CHECK_PARTS({ "vgg16", "features.0", 64, 224, 1792, 86704128 },
                { "vgg16", "features.2", 64, 224, 36928, 1849688064 },
                { "vgg16", "features.5", 128, 112, 73856, 924844032 },
                { "vgg16", "features.7", 128, 112, 147584, 1849688064 },
                { "vgg16", "features.10", 256, 56, 295168, 924844032 },
                { "vgg16", "features.12", 256, 56, 590080, 1849688064 },
                { "vgg16", "features.14", 256, 56, 590080, 1849688064 },
                { "vgg16", "features.17", 512, 28, 1180160, 924844032 },
                { "vgg16", "features.19", 512, 28, 2359808, 1849688064 },
                { "vgg16", "features.21", 512, 28, 2359808, 1849688064 },
                { "vgg16", "features.24", 512, 14, 2359808, 462422016 },
                { "vgg16", "features.26", 512, 14, 2359808, 462422016 },
                { "vgg16", "features.28", 512, 14, 2359808, 462422016 },
                { "vgg16", "features.30", 512, 7, 0, 0 },
                { "vgg16", "classifier.0", 4096, 1, 102764544, 102760448 },
                { "vgg16", "classifier.3", 4096, 1, 16781312, 16777216 },
                { "vgg16", "classifier.6", 1000, 1, 4097000, 4096000 });
}

static void googlenet_parts(void **state) {
    (void)state;
    CHECK_PARTS({ "googlenet-v1", "conv1", 64, 112, 9472, 118013952 },
                { "googlenet-v1", "conv2", 64, 56, 4160, 12845056 },
                { "googlenet-v1", "conv3", 192, 56, 110784, 346816512 },
                { "googlenet-v1", "inception3a", 256, 28, 163696, 128049152 },
                { "googlenet-v1", "inception3b", 480, 28, 388736, 304267264 },
                { "googlenet-v1", "inception4a", 512, 14, 376176, 73608192 },
                { "googlenet-v1", "inception4b", 512, 14, 449160, 87908352 },
                { "googlenet-v1", "inception4c", 512, 14, 510104, 99850240 },
                { "googlenet-v1", "inception4d", 528, 14, 605376, 118515712 },
                { "googlenet-v1", "inception4e", 832, 14, 868352, 169996288 },
                { "googlenet-v1", "inception5a", 832, 7, 1043456, 51079168 },
                { "googlenet-v1", "inception5b", 1024, 7, 1444080, 70697984 },
                { "googlenet-v1", "fc", 1000, 1, 1025000, 1024000 });
}

static void resnet_parts(void **state) {
    (void)state;
    CHECK_PARTS({ "resnet18", "layer1", 64, 56, 147968, 462422016 },
                { "resnet18", "layer2", 128, 28, 525568, 411041792 },
                { "resnet18", "layer3", 256, 14, 2099712, 411041792 },
                { "resnet18", "layer4", 512, 7, 8393728, 411041792 },
                { "resnet50", "layer1", 256, 56, 215808, 667942912 },
                { "resnet50", "layer2", 512, 28, 1219584, 1027604480 },
                { "resnet50", "layer3", 1024, 14, 7098368, 1464336384 },
                { "resnet50", "layer4", 2048, 7, 14964736, 809238528 },
                { "resnet20", "layer3.2", 64, 8, 2 * (36864 + 128), -1 });
}

static void densenet_parts(void **state) {
    (void)state;
    CHECK_PARTS({ "densenet121", "features.conv0", 64, 112, 9536 - 128, 118013952 },
                { "densenet121", "features.norm0", 64, 112, 128, 0 },
                { "densenet121", "features.denseblock1", 256, 56, 335040, 1040449536 },
                { "densenet121", "features.transition1", 128, 28, 32768 + 512, 102760448 },
                { "densenet121", "features.denseblock2", 512, 28, 919680, 712900608 },
                { "densenet121", "features.transition2", 256, 14, 131072 + 1024, 102760448 },
                { "densenet121", "features.denseblock3", 1024, 14, 2837760, 549126144 },
                { "densenet121", "features.transition3", 512, 7, 524288 + 2048, 102760448 },
                { "densenet121", "features.denseblock4", 1024, 7, 2158080, 104366080 },
                { "densenet121", "features.norm5", 1024, 7, 2048, 0 },
                { "densenet169", "features.denseblock3", 1280, 14, 4316160, -1 },
                { "densenet169", "features.transition3", 640, 7, 1280 * 640 + 2560, -1 },
                { "densenet-bc-100-12", "features.transition1", 108, 16, 216 * 108 + 432, -1 });
}

/* ---- receptive fields ----------------------------------------------------------------------- */

static void receptive_fields(void **state) {
    (void)state;
    const struct {
        const char *net, *node;
        int field, jump; /* 0: a dense layer has no step */
    } rows[] = {
        { "alexnet-2012", "conv1", 11, 4 },   { "alexnet-2012", "pool1", 19, 8 },
        { "alexnet-2012", "conv2", 51, 8 },   { "alexnet-2012", "pool2", 67, 16 },
        { "alexnet-2012", "conv3", 99, 16 },  { "alexnet-2012", "conv4", 131, 16 },
        { "alexnet-2012", "conv5", 163, 16 }, { "alexnet-2012", "pool5", 195, 32 },
        { "alexnet-2012", "fc6", 355, 0 },    { "zfnet", "conv1", 7, 2 },
        { "zfnet", "pool1", 11, 4 },          { "zfnet", "conv2", 27, 8 },
        { "zfnet", "pool2", 43, 16 },         { "zfnet", "conv3", 75, 16 },
        { "zfnet", "conv4", 107, 16 },        { "zfnet", "conv5", 139, 16 },
        { "zfnet", "pool5", 171, 32 },        { "vgg16", "features.0", 3, 1 },
        { "vgg16", "features.2", 5, 1 },      { "vgg16", "features.4", 6, 2 },
        { "vgg16", "features.5", 10, 2 },     { "vgg16", "features.7", 14, 2 },
        { "vgg16", "features.9", 16, 4 },     { "vgg16", "features.10", 24, 4 },
        { "vgg16", "features.12", 32, 4 },    { "vgg16", "features.14", 40, 4 },
        { "vgg16", "features.16", 44, 8 },    { "vgg16", "features.17", 60, 8 },
        { "vgg16", "features.19", 76, 8 },    { "vgg16", "features.21", 92, 8 },
        { "vgg16", "features.23", 100, 16 },  { "vgg16", "features.24", 132, 16 },
        { "vgg16", "features.26", 164, 16 },  { "vgg16", "features.28", 196, 16 },
        { "vgg16", "features.30", 212, 32 },
    };
    lens_ctx *ctx = test_ctx(1);
    lens_net *net = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lens_node_info info;
        if (!net || strcmp(lens_net_name(net), rows[i].net)) {
            lens_net_free(net);
            net = new_net(ctx, rows[i].net, NULL);
        }
        lens_node *node = lens_net_find(net, rows[i].node);
        assert_non_null(node);
        lens_node_info_get(node, &info);
        if (info.field != rows[i].field || (rows[i].jump && info.jump != rows[i].jump))
            fail_msg("%s %s: field %d, step %d instead of %d, %d", rows[i].net, rows[i].node,
                     info.field, info.jump, rows[i].field, rows[i].jump);
    }
    lens_net_free(net);
    lens_ctx_free(ctx);
}

static const struct CMUnitTest tests[] = {
    T("[M4][D30] AlexNet: totals", alexnets),
    T("[M4][D29][X36] AlexNet layer by layer", alexnet_parts),
    T("[M5][D30] ZFNet: totals", zfnets),
    T("[M5] ZFNet layer by layer", zfnet_parts),
    T("[M7][M11][D30] VGG: totals", vggs),
    T("[M7] VGG-16 layer by layer", vgg_parts),
    T("[M6][X34][D30] GoogLeNet: totals", googlenets),
    T("[M6] GoogLeNet's auxiliary heads", auxiliary_heads),
    T("[M6] GoogLeNet module by module", googlenet_parts),
    T("[M8][X40][D30] ResNet: totals", resnets),
    T("[M8][D30] ResNet for CIFAR: totals", cifar_resnets),
    T("[M8] ResNet stage by stage", resnet_parts),
    T("[M9][D30][Q21] DenseNet: totals", densenets),
    T("[M9] DenseNet part by part", densenet_parts),
    T("[D30] SqueezeNet: totals", squeezenets),
    T("[V17] receptive fields of AlexNet, ZFNet and VGG-16", receptive_fields),
};

TEST_MAIN(tests)
