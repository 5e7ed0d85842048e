/* zscore between guard pages: every variant, sizes 0..257, both ends; the pattern for the other
 * kernels. */
#include "ek_test.h"
#include "ek_dsp.h"

static void agrees_with_ref_and_touches_nothing_else(ek_dsp_zscore_f32_fn variant) {
    for (size_t t = 1; t <= 257; t++) {
        for (int at_end = 0; at_end < 2; at_end++) {
            ek_guard x = ek_guarded(t * sizeof(float), at_end),
                     got = ek_guarded(t * sizeof(float), at_end),
                     want = ek_guarded(t * sizeof(float), at_end);
            ek_noise(x.p, t, (uint32_t)t);
            ek_dsp_zscore_row_f32_ref(x.p, t, 0.0, want.p);
            variant(x.p, t, 0.0, got.p);
            for (size_t i = 0; i < t; i++)
                CHECK_CLOSE(((float *)got.p)[i], ((float *)want.p)[i], 1e-6);
            variant(x.p, t, 0.0, x.p); /* out may be x */
            for (size_t i = 0; i < t; i++) CHECK(((float *)x.p)[i] == ((float *)got.p)[i]);
            ek_unguard(&x), ek_unguard(&got), ek_unguard(&want);
        }
    }
}

static void ref(void) {
    agrees_with_ref_and_touches_nothing_else(ek_dsp_zscore_row_f32_ref);
}

static void avx2(void) {
    if (ek_cpu_available() & EK_CPU_AVX2)
        agrees_with_ref_and_touches_nothing_else(ek_dsp_zscore_row_f32_avx2);
}

static void shapes(void) {
    float x[4] = {1, 2, 3, 4}, out[4];
    CHECK_STATUS(ek_dsp_zscore_f32(x, 2, 0, 0.0, out), EK_ESHAPE);
    CHECK_STATUS(ek_dsp_zscore_f32(x, 0, 0, 0.0, out), EK_OK);
    CHECK_STATUS(ek_dsp_zscore_f32(x, 4, 1, 0.0, out), EK_OK);
    for (int i = 0; i < 4; i++) CHECK(out[i] == 0.0f); /* a single sample is a constant row */
}

TEST_MAIN({"ref", ref}, {"avx2", avx2}, {"shapes", shapes})
