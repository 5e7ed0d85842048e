/* Four rows per vector. Gain: benchmarks/signal.py. Built without fused multiply-add
 * (CMakeLists.txt): a high-order filter in b, a form keeps six digits, and they must be SciPy's. */
#include <immintrin.h>

#define W       4
#define NAME(x) x##_4
#include "iir_lanes.h"

void iir_run4_avx2(double *v, size_t t, const ek_iir *f, double *state) {
    run_4(v, t, f, state);
}

static inline __attribute__((always_inline)) void transpose4(__m256d r[4]) {
    const __m256d a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const __m256d c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

#define GATHER(NAME, T, LOAD)                                                                      \
    static void NAME(const T *const *x, size_t t, size_t width, double *v) {                       \
        size_t i = 0;                                                                              \
        for (; i + 4 <= t; i += 4) {                                                               \
            __m256d r[4];                                                                          \
            for (size_t k = 0; k < 4; k++) r[k] = LOAD(x[k] + i);                                  \
            transpose4(r);                                                                         \
            for (size_t k = 0; k < 4; k++) _mm256_storeu_pd(v + (i + k) * width, r[k]);            \
        }                                                                                          \
        for (; i < t; i++)                                                                         \
            for (size_t k = 0; k < 4; k++) v[i * width + k] = (double)x[k][i];                     \
    }

#define SCATTER(NAME, T, STORE)                                                                    \
    static void NAME(const double *v, size_t t, size_t width, T *const *out) {                     \
        size_t i = 0;                                                                              \
        for (; i + 4 <= t; i += 4) {                                                               \
            __m256d r[4];                                                                          \
            for (size_t k = 0; k < 4; k++) r[k] = _mm256_loadu_pd(v + (i + k) * width);            \
            transpose4(r);                                                                         \
            for (size_t k = 0; k < 4; k++) STORE(out[k] + i, r[k]);                                \
        }                                                                                          \
        for (; i < t; i++)                                                                         \
            for (size_t k = 0; k < 4; k++) out[k][i] = (T)v[i * width + k];                        \
    }

static inline __m256d widened(const float *x) {
    return _mm256_cvtps_pd(_mm_loadu_ps(x));
}

static inline void narrowed(float *out, __m256d v) {
    _mm_storeu_ps(out, _mm256_cvtpd_ps(v));
}

GATHER(gather_f32, float, widened)
GATHER(gather_f64, double, _mm256_loadu_pd)
SCATTER(scatter_f32, float, narrowed)
SCATTER(scatter_f64, double, _mm256_storeu_pd)

const iir_rows iir_rows_avx2 = {gather_f32, gather_f64, scatter_f32, scatter_f64};
