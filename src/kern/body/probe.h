/* probe.h - slots `fma_chains` and `read`: how fast this level can compute and load at best.
 *
 * Parameters: the vocabulary of vec.h.
 *
 * PROBE_CHAINS independent chains keep two units with a latency of four or five cycles busy and fit
 * sixteen registers with the two constants. `read` has eight partial sums, so that additions do not
 * wait for each other and loads are what is measured.
 *
 * SPDX-License-Identifier: Apache-2.0 */

V_UNCHECKED static void fma_chains(size_t steps, float *x) {
    const vf f = v_set1(0.999F), g = v_set1(0.001F);
    vf chain[PROBE_CHAINS];
    V_UNROLL for (int i = 0; i < PROBE_CHAINS; i++) chain[i] = v_load(x + i * V_LANES);
    for (size_t s = 0; s < steps; s++) {
        V_UNROLL for (int i = 0; i < PROBE_CHAINS; i++) chain[i] = v_fma(chain[i], f, g);
    }
    V_UNROLL for (int i = 0; i < PROBE_CHAINS; i++) v_store(x + i * V_LANES, chain[i]);
}

V_UNCHECKED static float read(size_t n, const float *x) {
    enum { SUMS = 8 };
    vf sum[SUMS];
    size_t i = 0;
    V_UNROLL for (int s = 0; s < SUMS; s++) sum[s] = v_zero();
    for (; i + SUMS * V_LANES <= n; i += SUMS * V_LANES) {
        V_UNROLL for (int s = 0; s < SUMS; s++) sum[s] = v_add(sum[s], v_load(x + i + s * V_LANES));
    }
    for (; i < n; i += V_LANES)
        sum[0] =
            v_add(sum[0], v_load_some(x + i, v_first((int)(n - i < V_LANES ? n - i : V_LANES))));
    for (int s = 1; s < SUMS; s++) sum[0] = v_add(sum[0], sum[s]);
    return v_sum(sum[0]);
}
