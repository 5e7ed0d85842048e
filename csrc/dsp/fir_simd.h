/* What the vector FIRs share: the loop over phases and the sums of eight accumulators. Included by
 * files that are built for AVX2 or AVX-512; everything is static inline. */
#ifndef FIR_SIMD_H
#define FIR_SIMD_H
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
#endif
