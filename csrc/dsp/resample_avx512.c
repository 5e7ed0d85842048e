/* As the AVX2 file with twice the width. Gain: benchmarks/signal.py. */
#include "ek_dsp.h"
#include "fir_simd.h"

static inline void dot8_f32(const float *const *x, const float *h, size_t k, float *y) {
    __m512 a[8];
    __m256 half[8];
    for (int r = 0; r < 8; r++) a[r] = _mm512_setzero_ps();
    for (size_t c = 0; c < k; c += 16) {
        const __m512 hc = _mm512_loadu_ps(h + c);
        for (int r = 0; r < 8; r++) a[r] = _mm512_fmadd_ps(hc, _mm512_loadu_ps(x[r] + c), a[r]);
    }
    for (int r = 0; r < 8; r++)
        half[r] = _mm256_add_ps(_mm512_castps512_ps256(a[r]), _mm512_extractf32x8_ps(a[r], 1));
    _mm256_storeu_ps(y, sum8_f32(half));
}

static inline void dot8_f64(const double *const *x, const double *h, size_t k, double *y) {
    __m512d a[8];
    __m256d half[8];
    for (int r = 0; r < 8; r++) a[r] = _mm512_setzero_pd();
    for (size_t c = 0; c < k; c += 8) {
        const __m512d hc = _mm512_loadu_pd(h + c);
        for (int r = 0; r < 8; r++) a[r] = _mm512_fmadd_pd(hc, _mm512_loadu_pd(x[r] + c), a[r]);
    }
    for (int r = 0; r < 8; r++)
        half[r] = _mm256_add_pd(_mm512_castpd512_pd256(a[r]), _mm512_extractf64x4_pd(a[r], 1));
    _mm256_storeu_pd(y, sum4_f64(half));
    _mm256_storeu_pd(y + 4, sum4_f64(half + 4));
}

void ek_dsp_fir_f32_avx512(const float *xe, const float *taps, size_t up, size_t down, size_t k,
                           size_t m, float *out) {
    FIR_PHASES(float, dot8_f32)
}

void ek_dsp_fir_f64_avx512(const double *xe, const double *taps, size_t up, size_t down, size_t k,
                           size_t m, double *out) {
    FIR_PHASES(double, dot8_f64)
}
