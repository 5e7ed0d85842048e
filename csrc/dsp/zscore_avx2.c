/* Measured on 12x5000, one thread, Zen 4: see benchmarks/kernels.py. */
#include "ek_dsp.h"
#include <immintrin.h>
#include <math.h>

static inline double total(__m256d a, __m256d b) {
    const __m256d s = _mm256_add_pd(a, b);
    const __m128d h = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}

void ek_dsp_zscore_row_f32_avx2(const float *x, size_t t, double eps, float *out) {
    const size_t whole = t / 8 * 8;
    __m256d a = _mm256_setzero_pd(), b = a;
    for (size_t i = 0; i < whole; i += 8) {
        a = _mm256_add_pd(a, _mm256_cvtps_pd(_mm_loadu_ps(x + i)));
        b = _mm256_add_pd(b, _mm256_cvtps_pd(_mm_loadu_ps(x + i + 4)));
    }
    double sum = total(a, b);
    for (size_t i = whole; i < t; i++) sum += (double)x[i];
    const double mean = sum / (double)t;
    const __m256d m = _mm256_set1_pd(mean);
    a = b = _mm256_setzero_pd();
    for (size_t i = 0; i < whole; i += 8) {
        const __m256d u = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)), m);
        const __m256d v = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i + 4)), m);
        a = _mm256_fmadd_pd(u, u, a);
        b = _mm256_fmadd_pd(v, v, b);
    }
    double squares = total(a, b);
    for (size_t i = whole; i < t; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double deviation = sqrt(squares / (double)t);
    const double scale = deviation > 0.0 || isnan(deviation) ? 1.0 / (deviation + eps) : 0.0;
    const __m256d s = _mm256_set1_pd(scale);
    for (size_t i = 0; i < whole; i += 4) {
        const __m256d u = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)), m);
        _mm_storeu_ps(out + i, _mm256_cvtpd_ps(_mm256_mul_pd(u, s)));
    }
    for (size_t i = whole; i < t; i++) out[i] = (float)(((double)x[i] - mean) * scale);
}
