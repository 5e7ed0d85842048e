/* attention_impl.h: the softmax of attention, row by row, and the turning of keys, over vec_*.h. */

static inline vf attn_score(const ek_attn_row *r, size_t i, size_t m) {
    const vf least = vf_set1(-__builtin_inff());
    vf x = vf_mul(vf_load_n(r->x + i, m), vf_set1(r->scale));
    for (size_t b = 0; b < 2; b++)
        if (r->bias[b] != NULL) x = vf_add(x, vf_load_n(r->bias[b] + i, m));
    if (r->keep != NULL)
        x = vf_where_lt(vf_set1(0.0f), vf_abs(vf_load_n(r->keep + i, m)), x, least);
    return x;
}

static void attn_row(const ek_attn_row *r) {
    const vf least = vf_set1(-__builtin_inff());
    vf best = vf_set1(*r->top);
    for (size_t i = 0; i < r->n; i += VF) {
        const size_t m = r->n - i < VF ? r->n - i : VF;
        vf x = attn_score(r, i, m);
        vf_store_n(r->x + i, x, m);
        if (m < VF) x = vf_first(x, m, least);
        best = vf_max(x, best); /* a NaN is passed over here and comes out of exp */
    }
    const float top = vf_top(best), base = top == -__builtin_inff() ? 0.0f : top;
    const vf b = vf_set1(base);
    vf sum = vf_set1(0.0f);
    size_t i = 0;
    for (; i + VF <= r->n; i += VF) {
        const vf e = vf_exp(vf_sub(vf_load(r->x + i), b));
        vf_store(r->x + i, e);
        sum = vf_add(sum, e);
    }
    if (i < r->n) {
        const size_t m = r->n - i;
        const vf e = vf_first(vf_exp(vf_sub(vf_load_n(r->x + i, m), b)), m, vf_set1(0.0f));
        vf_store_n(r->x + i, e, m);
        sum = vf_add(sum, e);
    }
    for (i = r->n; i < r->fill; i++) r->x[i] = 0.0f;
    float fade[VF];
    vf_store(fade, vf_exp(vf_set1(*r->top - base)));
    *r->fade = fade[0];
    *r->sum = *r->sum * fade[0] + vf_sum(sum);
    *r->top = top;
}

static void attn_turn(const float *const *rows, size_t n, size_t d, float *out, size_t pitch) {
    for (size_t c = 0; c < d; c += VF) {
        const size_t m = d - c < VF ? d - c : VF;
        vf square[VF];
#pragma GCC unroll 16
        for (size_t i = 0; i < VF; i++)
            square[i] = i < n ? vf_load_n(rows[i] + c, m) : vf_set1(0.0f);
        vf_turn(square);
        for (size_t i = 0; i < m; i++) vf_store(out + (c + i) * pitch, square[i]);
    }
}
