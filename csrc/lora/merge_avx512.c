/* Eight rows of 48 columns: 24 sums, three vectors of a and one of b fill the registers. */
#include <immintrin.h>
#include "lora_kern.h"

enum { VF = 16, NV = 3, ROWS = 8, AHEAD = 4 };
typedef __m512 vf;
#define ALWAYS_VEC static inline __attribute__((always_inline))

ALWAYS_VEC vf vf_zero(void) {
    return _mm512_setzero_ps();
}
ALWAYS_VEC vf vf_set1(float x) {
    return _mm512_set1_ps(x);
}
ALWAYS_VEC vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
ALWAYS_VEC void vf_store(float *p, vf x) {
    _mm512_storeu_ps(p, x);
}
ALWAYS_VEC vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
ALWAYS_VEC vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
ALWAYS_VEC vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
ALWAYS_VEC vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
ALWAYS_VEC unsigned vf_equal(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
ALWAYS_VEC unsigned vf_finite(vf a) {
    return _mm512_cmp_ps_mask(_mm512_abs_ps(a), _mm512_set1_ps(0x1.fffffep127f), _CMP_LE_OQ);
}
ALWAYS_VEC unsigned vf_beyond(vf a, vf limit) {
    return _mm512_cmp_ps_mask(_mm512_abs_ps(a), limit, _CMP_GT_OQ);
}
ALWAYS_VEC vf vf_bring_back(vf a, vf limit, unsigned where) {
    const vf sign = _mm512_and_ps(a, _mm512_set1_ps(-0.0f));
    return _mm512_mask_or_ps(a, (__mmask16)where, sign, limit);
}
ALWAYS_VEC double vf_total(vf a) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}
ALWAYS_VEC vf vf_get(const char *p, ek_lora_type type, size_t i) {
    if (type == EK_LORA_F32) return _mm512_loadu_ps((const float *)p + i);
    const __m256i h = _mm256_loadu_si256((const __m256i *)((const uint16_t *)p + i));
    if (type == EK_LORA_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
ALWAYS_VEC void vf_put(char *p, ek_lora_type type, size_t i, vf x) {
    if (type == EK_LORA_F32) {
        _mm512_storeu_ps((float *)p + i, x);
        return;
    }
    __m256i h;
    if (type == EK_LORA_F16) {
        h = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    } else {
        const __m512i u = _mm512_castps_si512(x), top = _mm512_srli_epi32(u, 16);
        const __m512i odd = _mm512_and_epi32(top, _mm512_set1_epi32(1));
        const __m512i up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
        const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        const __m512i y =
            _mm512_mask_or_epi32(_mm512_srli_epi32(up, 16), nan, top, _mm512_set1_epi32(0x40));
        h = _mm512_cvtepi32_epi16(y);
    }
    _mm256_storeu_si256((__m256i *)((uint16_t *)p + i), h);
}

#include "merge_impl.h"

const ek_lora_isa ek_lora_isa_avx512 = {
    EK_CPU_AVX512, ROWS, COLUMNS, {sweep_f32, sweep_bf16, sweep_f16},
       delta, finish
};
