/* Sixteen labels at a time; the last ones by mask: records of some dozen labels are mostly ends. */
#include <immintrin.h>
#include <math.h>
#include "ek_metric.h"

#define NAME(x) x##_avx512
#define OWN_F32
#include "depth_impl.h"

static inline __mmask16 live_of(size_t left) {
    return left >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1u);
}

int ek_metric_depth_f32_avx512(const uint8_t *y, const float *s, size_t n, size_t c, double *out) {
    __mmask16 broken = 0;
    for (size_t i = 0; i < n; i++, y += c, s += c, out += 3) {
        __m512 least = _mm512_set1_ps(INFINITY);
        __mmask16 truth = 0;
        for (size_t at = 0; at < c; at += 16) {
            const __mmask16 live = live_of(c - at);
            const __m512 here = _mm512_maskz_loadu_ps(live, s + at);
            const __m128i label = _mm_maskz_loadu_epi8(live, y + at);
            const __mmask16 set = _mm_test_epi8_mask(label, label);
            broken |= _mm512_cmp_ps_mask(here, here, _CMP_UNORD_Q);
            least = _mm512_mask_min_ps(least, set, least, here);
            truth |= set;
        }
        const __m512 limit = _mm512_set1_ps(_mm512_reduce_min_ps(least));
        int deep = 0;
        for (size_t at = 0; at < c; at += 16) {
            const __mmask16 live = live_of(c - at);
            const __m512 here = _mm512_maskz_loadu_ps(live, s + at);
            deep += __builtin_popcount(_mm512_mask_cmp_ps_mask(live, here, limit, _CMP_GE_OQ));
        }
        out[0] = 0.0;
        out[1] = truth ? deep : 0;
        out[2] = 1.0;
    }
    return broken != 0;
}
