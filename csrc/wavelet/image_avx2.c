#include "image_impl.h"
#include <immintrin.h>
#include <math.h>

void ek_minmax_f32_avx2(float *x, size_t n) {
    const size_t whole = n / 16 * 16;
    if (whole == 0) {
        ek_minmax_f32_ref(x, n);
        return;
    }
    __m256 a = _mm256_loadu_ps(x), b = a, c = a, d = a, nan = _mm256_setzero_ps();
    for (size_t i = 0; i < whole; i += 16) {
        const __m256 u = _mm256_loadu_ps(x + i), v = _mm256_loadu_ps(x + i + 8);
        a = _mm256_min_ps(u, a);
        b = _mm256_min_ps(v, b);
        c = _mm256_max_ps(u, c);
        d = _mm256_max_ps(v, d);
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(u, v, _CMP_UNORD_Q));
    }
    float lows[8], highs[8];
    _mm256_storeu_ps(lows, _mm256_min_ps(a, b));
    _mm256_storeu_ps(highs, _mm256_max_ps(c, d));
    float low = lows[0], high = highs[0];
    int bad = _mm256_movemask_ps(nan) != 0;
    for (int i = 1; i < 8; i++) {
        low = lows[i] < low ? lows[i] : low;
        high = highs[i] > high ? highs[i] : high;
    }
    for (size_t i = whole; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        bad |= x[i] != x[i];
    }
    const float range = high - low;
    const __m256 from = _mm256_set1_ps(low), over = _mm256_set1_ps(range);
    if (bad)
        for (size_t i = 0; i < n; i++) x[i] = NAN;
    else if (range > 0.0f) {
        for (size_t i = 0; i < whole; i += 8)
            _mm256_storeu_ps(x + i,
                             _mm256_div_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), from), over));
        for (size_t i = whole; i < n; i++) x[i] = (x[i] - low) / range;
    } else
        for (size_t i = 0; i < n; i++) x[i] = 0.0f;
}
