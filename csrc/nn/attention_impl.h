/* attention_impl.h: the softmax of attention, row by row, and the turning of keys, over vec_*.h. */

/* Score i of a row, or its last m < VF ones with -inf behind them. */
ALWAYS vf attn_score(const ek_attn_row *r, size_t i, const int whole, size_t m) {
    const vf least = vf_set1(-__builtin_inff());
#define EK_ATTN_LOAD(p) (whole ? vf_load((p) + i) : vf_load_n((p) + i, m))
    vf x = vf_mul(EK_ATTN_LOAD(r->x), vf_set1(r->scale));
    for (size_t b = 0; b < 2; b++)
        if (r->bias[b] != NULL) x = vf_add(x, EK_ATTN_LOAD(r->bias[b]));
    if (r->keep != NULL) x = vf_where_lt(vf_set1(0.0f), vf_abs(EK_ATTN_LOAD(r->keep)), x, least);
#undef EK_ATTN_LOAD
    return whole ? x : vf_first(x, m, least);
}

static void attn_row(const ek_attn_row *r) {
    const float before = *r->top;
    const size_t rest = r->n % VF, full = r->n - rest;
    vf best = vf_set1(before), last = best;
    for (size_t i = 0; i < full; i += VF) {
        const vf x = attn_score(r, i, 1, 0);
        vf_store(r->x + i, x);
        best = vf_max(x, best); /* a NaN is passed over here and comes out of exp */
    }
    if (rest) {
        last = attn_score(r, full, 0, rest);
        best = vf_max(last, best);
    }
    const float top = vf_top(best), base = top == -__builtin_inff() ? 0.0f : top;
    const vf b = vf_set1(base);
    vf sum = vf_set1(0.0f);
    for (size_t i = 0; i < full; i += VF) {
        const vf e = vf_exp_below(vf_sub(vf_load(r->x + i), b));
        vf_store(r->x + i, e);
        sum = vf_add(sum, e);
    }
    if (rest) { /* 0 behind the last one */
        const vf e = vf_exp_below(vf_sub(last, b));
        vf_store_n(r->x + full, e, rest);
        sum = vf_add(sum, e);
    }
    for (size_t i = r->n; i < r->fill; i++) r->x[i] = 0.0f;
    *r->top = top;
    if (before == -__builtin_inff()) { /* nothing came before that could fade */
        *r->fade = 0.0f;
        *r->sum = vf_sum(sum);
        return;
    }
    float fade[VF];
    vf_store(fade, vf_exp_below(vf_set1(before - base)));
    *r->fade = fade[0];
    *r->sum = *r->sum * fade[0] + vf_sum(sum);
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
