/* Four rows of 24 columns: 12 sums, three vectors of a and one of b fill the registers. */
#include <immintrin.h>
#include "lora_kern.h"

enum { VF = 8, NV = 3, ROWS = 4, AHEAD = 8 };
typedef __m256 vf;
#define ALWAYS_VEC static inline __attribute__((always_inline))

ALWAYS_VEC vf vf_zero(void) {
    return _mm256_setzero_ps();
}
ALWAYS_VEC vf vf_set1(float x) {
    return _mm256_set1_ps(x);
}
ALWAYS_VEC vf vf_load(const float *p) {
    return _mm256_loadu_ps(p);
}
ALWAYS_VEC void vf_store(float *p, vf x) {
    _mm256_storeu_ps(p, x);
}
ALWAYS_VEC vf vf_add(vf a, vf b) {
    return _mm256_add_ps(a, b);
}
ALWAYS_VEC vf vf_sub(vf a, vf b) {
    return _mm256_sub_ps(a, b);
}
ALWAYS_VEC vf vf_mul(vf a, vf b) {
    return _mm256_mul_ps(a, b);
}
ALWAYS_VEC vf vf_fma(vf a, vf b, vf c) {
    return _mm256_fmadd_ps(a, b, c);
}
ALWAYS_VEC vf vf_size(vf a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
ALWAYS_VEC unsigned vf_equal(vf a, vf b) {
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ));
}
ALWAYS_VEC unsigned vf_finite(vf a) {
    const vf largest = _mm256_set1_ps(0x1.fffffep127f);
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(vf_size(a), largest, _CMP_LE_OQ));
}
ALWAYS_VEC unsigned vf_beyond(vf a, vf limit) {
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(vf_size(a), limit, _CMP_GT_OQ));
}
ALWAYS_VEC vf vf_bring_back(vf a, vf limit, unsigned where) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)where), bit);
    const vf mask = _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit));
    return _mm256_blendv_ps(a, _mm256_or_ps(limit, _mm256_and_ps(a, _mm256_set1_ps(-0.0f))), mask);
}
ALWAYS_VEC double vf_total(vf a) {
    const __m256d s = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
                                    _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)));
    const __m128d h = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}
ALWAYS_VEC vf vf_get(const char *p, ek_lora_type type, size_t i) {
    if (type == EK_LORA_F32) return _mm256_loadu_ps((const float *)p + i);
    const __m128i h = _mm_loadu_si128((const __m128i *)((const uint16_t *)p + i));
    if (type == EK_LORA_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
ALWAYS_VEC void vf_put(char *p, ek_lora_type type, size_t i, vf x) {
    if (type == EK_LORA_F32) {
        _mm256_storeu_ps((float *)p + i, x);
        return;
    }
    __m128i h;
    if (type == EK_LORA_F16) {
        h = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    } else {
        const __m256i u = _mm256_castps_si256(x), top = _mm256_srli_epi32(u, 16);
        const __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
        const __m256i up = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
        const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
        const __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
        const __m256i y = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), quiet, nan);
        h = _mm_packus_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    }
    _mm_storeu_si128((__m128i *)((uint16_t *)p + i), h);
}

#include "merge_impl.h"

const ek_lora_isa ek_lora_isa_avx2 = {
    EK_CPU_AVX2, ROWS, COLUMNS, {sweep_f32, sweep_bf16, sweep_f16},
       delta, finish
};
