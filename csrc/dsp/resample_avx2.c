/* Eight outputs of one phase at a time: nine loads for eight FMAs. Gain:
 * benchmarks/kernels_filter.py. AVX-512 was 3-5 % slower on Zen 4 (the unaligned loads are the
 * limit and each splits a cache line), so there is no such variant. */
#include "ek_dsp.h"
#include <immintrin.h>
#include <stddef.h>

/* Lane r of the result is the sum of the lanes of a[r]. */
static inline __m256 sum8_f32(const __m256 *a) {
    const __m256 ab = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
    const __m256 cd = _mm256_hadd_ps(_mm256_hadd_ps(a[4], a[5]), _mm256_hadd_ps(a[6], a[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(ab, cd, 0x20),
                         _mm256_permute2f128_ps(ab, cd, 0x31));
}

static inline __m256d sum4_f64(const __m256d *a) {
    const __m256d ab = _mm256_hadd_pd(a[0], a[1]), cd = _mm256_hadd_pd(a[2], a[3]);
    return _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20),
                         _mm256_permute2f128_pd(ab, cd, 0x31));
}

/* Outputs i, i + up, i + 2 up, ... have one phase: DOT8(x, down, h, k, y) makes eight of them with
 * one load of h. The last group repeats its last stretch, so that every output is summed in the
 * same order wherever it falls. */
#define FIR_PHASES(T, DOT8)                                                                        \
    for (size_t first = 0, pos = 0, phase = 0; first < up && first < m; first++) {                 \
        for (size_t i = first, q = 0; i < m; i += 8 * up, q += 8) {                                \
            const size_t left = (m - i + up - 1) / up, count = left < 8 ? left : 8;                \
            const T *x[8];                                                                         \
            T y[8];                                                                                \
            for (size_t r = 0; r < 8; r++)                                                         \
                x[r] = xe + pos + (q + (r < count ? r : count - 1)) * down;                        \
            DOT8(x, taps + phase * k, k, y);                                                       \
            for (size_t r = 0; r < count; r++) out[i + r * up] = y[r];                             \
        }                                                                                          \
        phase += down % up;                                                                        \
        pos += down / up;                                                                          \
        if (phase >= up) {                                                                         \
            phase -= up;                                                                           \
            pos++;                                                                                 \
        }                                                                                          \
    }

static inline void dot8_f32(const float *const *x, const float *h, size_t k, float *y) {
    __m256 a[8];
    for (int r = 0; r < 8; r++) a[r] = _mm256_setzero_ps();
    for (size_t c = 0; c < k; c += 8) {
        const __m256 hc = _mm256_loadu_ps(h + c);
        for (int r = 0; r < 8; r++) a[r] = _mm256_fmadd_ps(hc, _mm256_loadu_ps(x[r] + c), a[r]);
    }
    _mm256_storeu_ps(y, sum8_f32(a));
}

static inline void dot8_f64(const double *const *x, const double *h, size_t k, double *y) {
    __m256d a[8];
    for (int r = 0; r < 8; r++) a[r] = _mm256_setzero_pd();
    for (size_t c = 0; c < k; c += 4) {
        const __m256d hc = _mm256_loadu_pd(h + c);
        for (int r = 0; r < 8; r++) a[r] = _mm256_fmadd_pd(hc, _mm256_loadu_pd(x[r] + c), a[r]);
    }
    _mm256_storeu_pd(y, sum4_f64(a));
    _mm256_storeu_pd(y + 4, sum4_f64(a + 4));
}

void ek_dsp_fir_f32_avx2(const float *xe, const float *taps, size_t up, size_t down, size_t k,
                         size_t m, float *out) {
    FIR_PHASES(float, dot8_f32)
}

void ek_dsp_fir_f64_avx2(const double *xe, const double *taps, size_t up, size_t down, size_t k,
                         size_t m, double *out) {
    FIR_PHASES(double, dot8_f64)
}
