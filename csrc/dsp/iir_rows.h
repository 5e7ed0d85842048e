/* Rows of one type through forward-backward filters: included by iir.c once per type, with T and
 * N(name) defined. */

typedef struct {
    const T *x;
    T *out;
    size_t n, t, filters, pad; /* pad: the longest */
    const ek_iir *f;
    iir_variant variant;
} N(iir_job);

/* Rows row..row+count-1 to lanes of w; missing lanes repeat the last row. */
static void N(take)(const N(iir_job) * j, size_t row, size_t count, size_t w, double *inner) {
    const T *x[IIR_LANES];
    for (size_t r = 0; r < w; r++) x[r] = j->x + (row + (r < count ? r : count - 1)) * j->t;
    for (size_t r = 0; r < w; r += j->variant.few)
        j->variant.rows->N(gather)(x + r, j->t, w, inner + r);
}

/* Odd extension by pad samples on both sides of the t inner ones. */
static void N(extend)(double *inner, size_t t, size_t pad, size_t w) {
    const double *last = inner + (t - 1) * w;
    double *behind = inner + t * w;
    for (size_t i = 1; i <= pad; i++)
        for (size_t r = 0; r < w; r++) {
            *(inner - i * w + r) = 2.0 * inner[r] - inner[i * w + r];
            behind[(i - 1) * w + r] = 2.0 * last[r] - *(last - i * w + r);
        }
}

static void N(give)(const N(iir_job) * j, size_t row, size_t count, size_t w, const double *inner) {
    T *out[IIR_LANES];
    size_t r = 0;
    for (size_t k = 0; k < count; k++) out[k] = j->out + (row + k) * j->t;
    for (; r + j->variant.few <= count; r += j->variant.few)
        j->variant.rows->N(scatter)(inner + r, j->t, w, out + r);
    for (; r < count; r++)
        for (size_t i = 0; i < j->t; i++) out[r][i] = (T)inner[i * w + r];
}

static ek_status N(iir_groups)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const N(iir_job) *j = ctx;
    const size_t mark = ek_arena_mark(tmp), lanes = j->variant.lanes;
    size_t states = 0;
    for (size_t k = 0; k < j->filters; k++)
        if (j->f[k].sections * j->f[k].order > states) states = j->f[k].sections * j->f[k].order;
    double *v = ek_arena_alloc(tmp, j->t + 2 * j->pad, lanes * sizeof(double));
    double *state = ek_arena_f64(tmp, states * lanes);
    if (v == NULL || state == NULL) return EK_ENOMEM;
    for (size_t g = begin; g < end; g++) {
        const size_t row = g * lanes, count = j->n - row < lanes ? j->n - row : lanes;
        const int few = count <= j->variant.few;
        const size_t w = few ? j->variant.few : lanes;
        double *inner = v + j->pad * w;
        N(take)(j, row, count, w, inner);
        for (size_t k = 0; k < j->filters; k++) {
            const ek_iir *f = &j->f[k];
            N(extend)(inner, j->t, f->pad, w);
            (few ? j->variant.run_few : j->variant.run)(inner - f->pad * w, j->t + 2 * f->pad, f,
                                                        state);
        }
        N(give)(j, row, count, w, inner);
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status N(ek_dsp_filtfilt)(const T *x, size_t n, size_t t, const ek_iir *f, size_t filters,
                             T *out) {
    N(iir_job) j = {x, out, n, t, filters, 0, f, pick()};
    for (size_t k = 0; k < filters; k++) {
        if (f[k].order == 0 || f[k].sections == 0) return EK_EVALUE;
        if (t <= f[k].pad) return EK_ESHAPE;
        if (f[k].pad > j.pad) j.pad = f[k].pad;
    }
    if (n == 0 || t == 0) return EK_OK;
    return ek_parallel_for((n + j.variant.lanes - 1) / j.variant.lanes, 1, N(iir_groups), &j);
}
