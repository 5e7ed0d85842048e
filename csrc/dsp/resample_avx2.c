/* Up to ten outputs of one phase at a time: one load of the taps for ten FMAs. Gain:
 * benchmarks/signal.py. AVX-512 is no faster on Zen 4: loads are the limit, and twice as wide ones
 * take twice as long. */
#include "ek_dsp.h"
#include <immintrin.h>
#include <stddef.h>

enum { MOST = 10 };

static size_t gcd(size_t a, size_t b) {
    while (b != 0) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

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

/* `many` windows, `step` samples apart, times one phase; outputs `to` apart. */
static inline __attribute__((always_inline)) void dots_f32(const float *x, size_t step,
                                                           const float *h, size_t k, size_t many,
                                                           float *out, size_t to) {
    __m256 a[16];
    float y[16];
    for (size_t r = 0; r < 16; r++) a[r] = _mm256_setzero_ps();
    for (size_t c = 0; c < k; c += 8) {
        const __m256 hc = _mm256_loadu_ps(h + c);
#pragma GCC unroll 10
        for (size_t r = 0; r < many; r++)
            a[r] = _mm256_fmadd_ps(hc, _mm256_loadu_ps(x + r * step + c), a[r]);
    }
    _mm256_storeu_ps(y, sum8_f32(a));
    if (many > 8) _mm256_storeu_ps(y + 8, sum8_f32(a + 8));
    for (size_t r = 0; r < many; r++) out[r * to] = y[r];
}

static inline __attribute__((always_inline)) void dots_f64(const double *x, size_t step,
                                                           const double *h, size_t k, size_t many,
                                                           double *out, size_t to) {
    __m256d a[12];
    double y[12];
    for (size_t r = 0; r < 12; r++) a[r] = _mm256_setzero_pd();
    for (size_t c = 0; c < k; c += 4) {
        const __m256d hc = _mm256_loadu_pd(h + c);
#pragma GCC unroll 10
        for (size_t r = 0; r < many; r++)
            a[r] = _mm256_fmadd_pd(hc, _mm256_loadu_pd(x + r * step + c), a[r]);
    }
#pragma GCC unroll 3
    for (size_t r = 0; r < many; r += 4) _mm256_storeu_pd(y + r, sum4_f64(a + r));
    for (size_t r = 0; r < many; r++) out[r * to] = y[r];
}

/* Outputs first, first + to, first + 2 to, ... have one phase and one alignment. Each is summed in
 * the same order however many go together. */
#define FIR(NAME, T, DOTS)                                                                         \
    void NAME(const T *xe, const T *taps, size_t up, size_t down, size_t k, size_t align,          \
              size_t m, T *out) {                                                                  \
        const size_t turns = align / gcd(align, down), to = up * turns, step = down * turns;       \
        for (size_t first = 0; first < to && first < m; first++) {                                 \
            const size_t phase = first * down % up, pos = first * down / up, off = pos % align;    \
            const T *x = xe + (pos - off), *h = taps + (phase * align + off) * k;                  \
            const size_t count = (m - first + to - 1) / to, groups = (count + MOST - 1) / MOST;    \
            const size_t size = (count + groups - 1) / groups;                                     \
            T *y = out + first;                                                                    \
            for (size_t left = count; left > 0;) {                                                 \
                const size_t now = left < size ? left : size;                                      \
                switch (now) {                                                                     \
                case 1: DOTS(x, step, h, k, 1, y, to); break;                                      \
                case 2: DOTS(x, step, h, k, 2, y, to); break;                                      \
                case 3: DOTS(x, step, h, k, 3, y, to); break;                                      \
                case 4: DOTS(x, step, h, k, 4, y, to); break;                                      \
                case 5: DOTS(x, step, h, k, 5, y, to); break;                                      \
                case 6: DOTS(x, step, h, k, 6, y, to); break;                                      \
                case 7: DOTS(x, step, h, k, 7, y, to); break;                                      \
                case 8: DOTS(x, step, h, k, 8, y, to); break;                                      \
                case 9: DOTS(x, step, h, k, 9, y, to); break;                                      \
                default: DOTS(x, step, h, k, MOST, y, to); break;                                  \
                }                                                                                  \
                x += now * step;                                                                   \
                y += now * to;                                                                     \
                left -= now;                                                                       \
            }                                                                                      \
        }                                                                                          \
    }

FIR(ek_dsp_fir_f32_avx2, float, dots_f32)
FIR(ek_dsp_fir_f64_avx2, double, dots_f64)
