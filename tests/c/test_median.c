/* Running median between guard pages, against sorting every window. */
#include "ek_test.h"
#include "ek_dsp.h"

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float sorted_median(const float *x, size_t t, size_t size, size_t at, ek_dsp_edge edge) {
    float window[2 * 64];
    for (size_t k = 0; k < size; k++) {
        long i = (long)(at + k) - (long)(size / 2), n = (long)t;
        float v = 0.0f;
        if (edge == EK_EDGE_NEAREST) i = i < 0 ? 0 : i >= n ? n - 1 : i;
        if (edge == EK_EDGE_REFLECT)
            while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * n - 1 - i;
        if (i >= 0 && i < n) v = x[i];
        window[k] = v;
    }
    qsort(window, size, sizeof *window, by_value);
    return window[size / 2];
}

static void equals_sorting_and_touches_nothing_else(void) {
    for (size_t t = 1; t <= 40; t++)
        for (size_t size = 1; size <= 2 * t - 1; size += 2)
            for (int edge = EK_EDGE_ZERO; edge <= EK_EDGE_NEAREST; edge++) {
                ek_guard x = ek_guarded(t * sizeof(float), size % 4 == 1);
                ek_guard out = ek_guarded(t * sizeof(float), size % 4 == 3);
                float *v = x.p, *o = out.p;
                ek_noise(v, t, (uint32_t)(t + size));
                for (size_t i = 0; i < t; i++) v[i] = roundf(v[i] * 8.0f); /* ties */
                CHECK_STATUS(ek_dsp_median_f32(v, 1, t, size, (ek_dsp_edge)edge, o), EK_OK);
                for (size_t i = 0; i < t; i++)
                    CHECK(o[i] == sorted_median(v, t, size, i, (ek_dsp_edge)edge));
                ek_unguard(&x), ek_unguard(&out);
            }
}

static void wrong_windows_are_refused(void) {
    float x[4] = {0}, out[4];
    CHECK_STATUS(ek_dsp_median_f32(x, 1, 4, 2, EK_EDGE_ZERO, out), EK_ESHAPE);
    CHECK_STATUS(ek_dsp_median_f32(x, 1, 4, 9, EK_EDGE_ZERO, out), EK_ESHAPE);
    CHECK_STATUS(ek_dsp_median_f32(x, 0, 4, 3, EK_EDGE_ZERO, out), EK_OK);
}

TEST_MAIN({"equals_sorting_and_touches_nothing_else", equals_sorting_and_touches_nothing_else},
          {"wrong_windows_are_refused", wrong_windows_are_refused})
