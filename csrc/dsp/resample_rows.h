/* Rows of one type through the resamplers: included by resample.c once per type, with T (the type)
 * and N(name) (the name with its type suffix) defined. */

typedef struct {
    const T *x, *taps;
    T *out;
    size_t t, m, up, down, k, reach, block, blocks, align;
    N(fir_variant) fir;
} N(fir_job);

/* xe[0..count) = x continued on both sides, from sample `first` on. */
static void N(extend)(const T *x, size_t t, ptrdiff_t first, size_t count, T *xe) {
    const ptrdiff_t last = (ptrdiff_t)t - 1;
    for (size_t i = 0; i < count; i++) {
        const ptrdiff_t s = first + (ptrdiff_t)i;
        if (s < 0)
            xe[i] = 2 * x[0] - x[-s < last ? -s : last];
        else if (s > last)
            xe[i] = 2 * x[last] - x[2 * last - s > 0 ? 2 * last - s : 0];
        else
            xe[i] = x[s];
    }
}

static ek_status N(fir_blocks)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const N(fir_job) *j = ctx;
    const size_t mark = ek_arena_mark(tmp);
    const size_t window = (j->block / j->up) * j->down + j->down + j->k + j->align;
    T *xe = ek_arena_alloc(tmp, window, sizeof(T));
    if (xe == NULL) return EK_ENOMEM;
    for (size_t piece = begin; piece < end; piece++) {
        const size_t row = piece / j->blocks, i0 = (piece % j->blocks) * j->block;
        const size_t m = j->m - i0 < j->block ? j->m - i0 : j->block;
        const ptrdiff_t first = (ptrdiff_t)(i0 / j->up * j->down) - (ptrdiff_t)j->reach;
        const size_t count = (m - 1) * j->down / j->up + j->k;
        const T *x = j->x + row * j->t;
        const int inside = first >= 0 && (size_t)first + count <= j->t;
        if (!inside)
            N(extend)(x, j->t, first, count, xe);
        else if (j->align > 1)
            memcpy(xe, x + first, count * sizeof(T));
        j->fir.fn(inside && j->align == 1 ? x + first : xe, j->taps, j->up, j->down, j->k, j->align,
                  m, j->out + row * j->m + i0);
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

/* The taps once more for every place of a window in its vector, if that pays: j->taps, k, align. */
static ek_status N(align_taps)(N(fir_job) * j, ek_arena *tmp) {
    const size_t align = j->fir.align, up = j->up,
                 rounds = (j->m < j->block ? j->m : j->block) / up;
    size_t used = 0;
    for (size_t p = 0; p < up; p++)
        for (size_t c = used; c < j->k; c++)
            if (j->taps[p * j->k + c] != 0) used = c + 1;
    const size_t k = (used + 2 * align - 2) / align * align;
    size_t turns = align; /* offsets that a phase meets: align / gcd(align, down) */
    while (turns > 1 && turns / 2 * j->down % align == 0) turns /= 2;
    if (align == 1 || rounds < ALIGN_ROUNDS * turns || up > ALIGN_TAPS / (align * k)) return EK_OK;
    T *taps = ek_arena_alloc(tmp, up * align * k, sizeof(T));
    if (taps == NULL) return EK_ENOMEM;
    memset(taps, 0, up * align * k * sizeof(T));
    for (size_t p = 0; p < up; p++)
        for (size_t a = 0; a < align; a++)
            memcpy(taps + (p * align + a) * k + a, j->taps + p * j->k, used * sizeof(T));
    j->taps = taps;
    j->k = k;
    j->align = align;
    return EK_OK;
}

ek_status N(ek_dsp_resample_fir)(const T *x, size_t n, size_t t, const T *taps, size_t up,
                                 size_t down, size_t k, size_t reach, T *out) {
    size_t m, pieces;
    if (up == 0 || down == 0 || k == 0 || k % EK_FIR_LANES != 0) return EK_EVALUE;
    if (n == 0) return EK_OK;
    if (t == 0 || output_length(t, up, down, &m) != EK_OK) return EK_ESHAPE;
    size_t rounds = BLOCK_OUTPUTS / up > BLOCK_ROUNDS ? BLOCK_OUTPUTS / up : BLOCK_ROUNDS;
    N(fir_job) j = {x, taps, out, t, m, up, down, k, reach, rounds * up, 0, 1, N(pick_fir)()};
    j.blocks = (m + j.block - 1) / j.block;
    if (__builtin_mul_overflow(n, j.blocks, &pieces)) return EK_ESHAPE;
    ek_arena *tmp = ek_arena_borrow();
    ek_status st = tmp ? N(align_taps)(&j, tmp) : EK_ENOMEM;
    if (st == EK_OK) st = ek_parallel_for(pieces, 1, N(fir_blocks), &j);
    ek_arena_return(tmp);
    return st;
}

static ek_status N(linear_rows)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const N(fir_job) *j = ctx;
    const size_t whole = j->down / j->up, part = j->down % j->up;
    const T width = (T)1 / (T)j->up;
    (void)tmp;
    for (size_t row = begin; row < end; row++) {
        const T *x = j->x + row * j->t;
        T *out = j->out + row * j->m;
        for (size_t i = 0, q = 0, r = 0; i < j->m; i++) {
            out[i] = r == 0 || q + 1 >= j->t ? x[q < j->t ? q : j->t - 1]
                                             : x[q] + (T)r * width * (x[q + 1] - x[q]);
            q += whole;
            r += part;
            if (r >= j->up) {
                r -= j->up;
                q++;
            }
        }
    }
    return EK_OK;
}

ek_status N(ek_dsp_resample_linear)(const T *x, size_t n, size_t t, size_t up, size_t down,
                                    T *out) {
    N(fir_job) j = {.x = x, .out = out, .t = t, .up = up, .down = down};
    if (up == 0 || down == 0) return EK_EVALUE;
    if (n == 0) return EK_OK;
    if (t == 0 || output_length(t, up, down, &j.m) != EK_OK) return EK_ESHAPE;
    return ek_parallel_for(n, 1 + 65536 / j.m, N(linear_rows), &j);
}

void N2(ek_dsp_fir, _ref)(const T *xe, const T *taps, size_t up, size_t down, size_t k,
                          size_t align, size_t m, T *out) {
    (void)align; /* 1 */
    for (size_t i = 0; i < m; i++) {
        const T *x = xe + i * down / up, *h = taps + i * down % up * k;
        double sum = 0.0;
        for (size_t c = 0; c < k; c++) sum += (double)h[c] * (double)x[c];
        out[i] = (T)sum;
    }
}
