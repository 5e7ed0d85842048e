/* Eight outputs of one phase at a time: nine loads for eight FMAs. Gain: benchmarks/signal.py. */
#include "ek_dsp.h"
#include "fir_simd.h"

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
