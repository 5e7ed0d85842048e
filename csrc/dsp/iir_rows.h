/* Rows of one type through the forward-backward filter: included by iir.c once per type, with T and
 * N(name) defined. */

typedef struct {
    const T *x;
    T *out;
    size_t n, t, pad, lanes;
    const ek_iir *f;
    iir_run_fn run;
} N(iir_job);

/* Interleave rows [row, row + count) with odd extension; missing lanes repeat the last row. */
static void N(gather)(const N(iir_job) * j, size_t row, size_t count, double *v) {
    const size_t w = j->lanes, t = j->t, pad = j->pad;
    const T *x[IIR_LANES];
    for (size_t r = 0; r < IIR_LANES; r++) x[r] = j->x + (row + (r < count ? r : count - 1)) * t;
    for (size_t i = 0; i < pad; i++)
        for (size_t r = 0; r < w; r++) {
            v[i * w + r] = 2.0 * (double)x[r][0] - (double)x[r][pad - i];
            v[(pad + t + i) * w + r] = 2.0 * (double)x[r][t - 1] - (double)x[r][t - 2 - i];
        }
    double *inner = v + pad * w;
    if (w == IIR_LANES)
        for (size_t i = 0; i < t; i++)
            for (size_t r = 0; r < IIR_LANES; r++) inner[i * IIR_LANES + r] = (double)x[r][i];
    else
        for (size_t i = 0; i < t; i++) inner[i] = (double)x[0][i];
}

static void N(scatter)(const N(iir_job) * j, size_t row, size_t count, const double *v) {
    const size_t w = j->lanes, t = j->t;
    const double *inner = v + j->pad * w;
    T *out = j->out + row * t;
    if (count == IIR_LANES)
        for (size_t i = 0; i < t; i++)
            for (size_t r = 0; r < IIR_LANES; r++) out[r * t + i] = (T)inner[i * IIR_LANES + r];
    else
        for (size_t r = 0; r < count; r++)
            for (size_t i = 0; i < t; i++) out[r * t + i] = (T)inner[i * w + r];
}

static ek_status N(iir_groups)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const N(iir_job) *j = ctx;
    const size_t mark = ek_arena_mark(tmp), w = j->lanes, wide = j->t + 2 * j->pad;
    double *v = ek_arena_alloc(tmp, wide, w * sizeof(double));
    double *state = ek_arena_f64(tmp, j->f->sections * j->f->order * w);
    if (v == NULL || state == NULL) return EK_ENOMEM;
    for (size_t g = begin; g < end; g++) {
        const size_t row = g * w, count = j->n - row < w ? j->n - row : w;
        N(gather)(j, row, count, v);
        j->run(v, wide, j->f, state);
        N(scatter)(j, row, count, v);
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status N(ek_dsp_filtfilt)(const T *x, size_t n, size_t t, const ek_iir *f, size_t pad, T *out) {
    if (f->order == 0 || f->sections == 0) return EK_EVALUE;
    if (n == 0) return EK_OK;
    if (t <= pad) return EK_ESHAPE;
    const iir_variant variant = pick();
    N(iir_job) j = {x, out, n, t, pad, variant.lanes, f, variant.run};
    return ek_parallel_for((n + j.lanes - 1) / j.lanes, 1, N(iir_groups), &j);
}
