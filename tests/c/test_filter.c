/* Resampling, zero-phase filters, correlation and z-scores between guard pages: every variant
 * against the reference, odd lengths and ratios. */
#include "ek_test.h"
#include "ek_dsp.h"

static const unsigned ISAS[] = {EK_CPU_AVX2, EK_CPU_AVX2 | EK_CPU_AVX512};

static void fir_agrees(unsigned isa, size_t n, size_t t, size_t up, size_t down, size_t k) {
    const size_t m = (t * up + down - 1) / down;
    ek_guard x = ek_guarded(n * t * sizeof(float), 1), h = ek_guarded(up * k * sizeof(float), 1);
    ek_guard got = ek_guarded(n * m * sizeof(float), 1),
             want = ek_guarded(n * m * sizeof(float), 0);
    ek_guard x64 = ek_guarded(n * t * sizeof(double), 1),
             h64 = ek_guarded(up * k * sizeof(double), 1),
             got64 = ek_guarded(n * m * sizeof(double), 1);
    ek_noise(x.p, n * t, (uint32_t)t), ek_noise(h.p, up * k, (uint32_t)up);
    for (size_t p = 0; p < up; p++) ((float *)h.p)[p * k + k - 1] = 0.0f; /* as a real filter */
    for (size_t i = 0; i < n * t; i++) ((double *)x64.p)[i] = ((float *)x.p)[i];
    for (size_t i = 0; i < up * k; i++) ((double *)h64.p)[i] = ((float *)h.p)[i];
    ek_cpu_use(0);
    CHECK_STATUS(ek_dsp_resample_fir_f32(x.p, n, t, h.p, up, down, k, k / 3, want.p), EK_OK);
    ek_cpu_use(isa);
    CHECK_STATUS(ek_dsp_resample_fir_f32(x.p, n, t, h.p, up, down, k, k / 3, got.p), EK_OK);
    CHECK_STATUS(ek_dsp_resample_fir_f64(x64.p, n, t, h64.p, up, down, k, k / 3, got64.p), EK_OK);
    for (size_t i = 0; i < n * m; i++) {
        CHECK_CLOSE(((float *)got.p)[i], ((float *)want.p)[i], 1e-5 * (double)k);
        CHECK_CLOSE(((double *)got64.p)[i], ((float *)want.p)[i], 1e-5 * (double)k);
    }
    CHECK_STATUS(ek_dsp_resample_linear_f32(x.p, n, t, up, down, got.p), EK_OK);
    CHECK_STATUS(ek_dsp_resample_fft_f32(x.p, n, t, up, down, got.p), EK_OK);
    ek_unguard(&x), ek_unguard(&h), ek_unguard(&got), ek_unguard(&want);
    ek_unguard(&x64), ek_unguard(&h64), ek_unguard(&got64);
    ek_cpu_use(ek_cpu_available());
}

static void resampling(void) {
    static const size_t ratios[][2] = {
        {1,   5  },
        {5,   1  },
        {2,   3  },
        {25,  18 },
        {257, 250},
    };
    static const size_t lengths[] = {1, 2, 33, 700, 5003};
    for (size_t i = 0; i < 2; i++)
        for (size_t r = 0; r < 5; r++)
            for (size_t l = 0; l < 5; l++)
                if (!(ISAS[i] & ~ek_cpu_available()))
                    fir_agrees(ISAS[i], 2, lengths[l], ratios[r][0], ratios[r][1], 48);
}

static void filters(void) {
    const double coef[] = {0.2, 0.3, 0.1, -0.5, 0.25}, zi[] = {0.6, -0.1};
    ek_iir f = {1, 2, coef, zi, 7};
    for (size_t n = 1; n <= 9; n += 4)
        for (size_t t = 8; t < 60; t += 17) {
            ek_guard x = ek_guarded(n * t * sizeof(double), 1);
            ek_guard got = ek_guarded(n * t * sizeof(double), 1),
                     want = ek_guarded(n * t * sizeof(double), 0);
            for (size_t i = 0; i < n * t; i++) ((double *)x.p)[i] = sin((double)(i * i));
            ek_cpu_use(0);
            CHECK_STATUS(ek_dsp_filtfilt_f64(x.p, n, t, &f, 1, want.p), EK_OK);
            ek_cpu_use(ek_cpu_available());
            CHECK_STATUS(ek_dsp_filtfilt_f64(x.p, n, t, &f, 1, got.p), EK_OK);
            for (size_t i = 0; i < n * t; i++)
                CHECK_CLOSE(((double *)got.p)[i], ((double *)want.p)[i], 1e-12);
            f.pad = t;
            CHECK_STATUS(ek_dsp_filtfilt_f64(x.p, n, t, &f, 1, got.p), EK_ESHAPE);
            f.pad = 7;
            CHECK_STATUS(ek_dsp_zscore_f64(x.p, n, t, 0.0, got.p), EK_OK);
            ek_unguard(&x), ek_unguard(&got), ek_unguard(&want);
        }
}

static void correlations(void) {
    for (size_t t = 1; t < 70; t += 23) {
        const size_t lags = t / 2;
        ek_guard x = ek_guarded(2 * t * sizeof(double), 1),
                 y = ek_guarded(2 * t * sizeof(double), 1);
        ek_guard got = ek_guarded(2 * (2 * lags + 1) * sizeof(double), 1);
        double *a = x.p, *b = y.p, *r = got.p;
        for (size_t i = 0; i < 2 * t; i++) a[i] = sin((double)(i * i)), b[i] = cos((double)(3 * i));
        CHECK_STATUS(ek_dsp_correlate_f64(a, b, 2, t, lags, 0, r), EK_OK);
        for (size_t row = 0; row < 2; row++)
            for (size_t l = 0; l <= 2 * lags; l++) {
                double sum = 0.0;
                for (size_t i = 0; i < t; i++)
                    if (i + l >= lags && i + l - lags < t)
                        sum += a[row * t + i] * b[row * t + i + l - lags];
                CHECK_CLOSE(r[row * (2 * lags + 1) + l], sum, 1e-12 * (double)t);
            }
        CHECK_STATUS(ek_dsp_correlate_f64(a, NULL, 2, t, lags, 1, r), EK_OK);
        CHECK_STATUS(ek_dsp_correlate_f64(a, b, 2, t, t, 0, r), EK_ESHAPE);
        ek_unguard(&x), ek_unguard(&y), ek_unguard(&got);
    }
}

TEST_MAIN({"resampling", resampling}, {"filters", filters}, {"correlations", correlations})
