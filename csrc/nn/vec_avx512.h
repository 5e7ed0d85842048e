/* vec_avx512.h: sixteen floats. The same names as vec_avx2.h, so that kernels are written once.
 * vf_min and vf_max hand the second argument on when either is NaN. */
#ifndef EK_VEC_AVX512_H
#define EK_VEC_AVX512_H
#include <immintrin.h>
#include <stddef.h>

enum { VF = 16 };
typedef __m512 vf;
typedef __mmask16 vm;

static inline vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vf v) {
    _mm512_storeu_ps(p, v);
}
static inline vm vm_first(size_t n) {
    return n >= 16 ? (vm)0xffff : (vm)((1u << n) - 1u);
}
static inline vf vf_load_n(const float *p, size_t n) { /* zeros beyond n */
    return _mm512_maskz_loadu_ps(vm_first(n), p);
}
static inline void vf_store_n(float *p, vf v, size_t n) {
    _mm512_mask_storeu_ps(p, vm_first(n), v);
}
static inline vf vf_set1(float x) {
    return _mm512_set1_ps(x);
}
static inline vf vf_bcast(const float *p) {
    return _mm512_set1_ps(*p);
}
static inline vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) { /* a*b + c */
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) { /* c - a*b */
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
static inline vf vf_round(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_ldexp(vf a, vf n) { /* a * 2^n for whole n, rounded once */
    return _mm512_scalef_ps(a, n);
}
static inline vf vf_abs(vf a) {
    return _mm512_abs_ps(a);
}
static inline vf vf_copysign(vf size, vf sign) {
    const __m512i bit = _mm512_set1_epi32((int)0x80000000u);
    return _mm512_castsi512_ps(_mm512_or_epi32(_mm512_andnot_epi32(bit, _mm512_castps_si512(size)),
                                               _mm512_and_epi32(bit, _mm512_castps_si512(sign))));
}
static inline vf vf_where_lt(vf a, vf b, vf yes, vf no) { /* a < b ? yes : no */
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
static inline vf vf_where_nan(vf a, vf yes, vf no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), no, yes);
}
static inline vf vf_first(vf a, size_t n, vf rest) { /* the first n floats of a, then rest's */
    return _mm512_mask_blend_ps(vm_first(n), rest, a);
}
static inline int vf_any_nan(vf a) {
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0;
}
/* 16 vectors as the rows of a square, turned in place. */
static inline void vf_turn(vf *r) {
    vf a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int h = 0; h < 2; h++) {
            b[i + 2 * h] = _mm512_shuffle_ps(a[i + h], a[i + 2 + h], 0x44);
            b[i + 2 * h + 1] = _mm512_shuffle_ps(a[i + h], a[i + 2 + h], 0xee);
        }
    /* b[4g + c]: column c of the four rows of group g, in each of four quarters */
    for (int c = 0; c < 4; c++) {
        const vf lo01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88),
                 hi01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd);
        const vf lo23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88),
                 hi23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd);
        r[c] = _mm512_shuffle_f32x4(lo01, lo23, 0x88);
        r[8 + c] = _mm512_shuffle_f32x4(lo01, lo23, 0xdd);
        r[4 + c] = _mm512_shuffle_f32x4(hi01, hi23, 0x88);
        r[12 + c] = _mm512_shuffle_f32x4(hi01, hi23, 0xdd);
    }
}
static inline float vf_sum(vf a) {
    return _mm512_reduce_add_ps(a);
}
static inline float vf_top(vf a) { /* the largest; no NaN may be among them */
    return _mm512_reduce_max_ps(a);
}
#endif
