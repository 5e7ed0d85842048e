/* Rows of one type through the Fourier resampler: included by resample_fft.c once per type, with T
 * and N(name) defined. */

typedef struct {
    const T *x;
    T *out;
    size_t t, m, period, grid; /* samples in and out; the same after completion to whole periods */
    const ek_fft_plan *forward, *backward;
} N(fourier_job);

static ek_status N(fourier_rows)(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const N(fourier_job) *j = ctx;
    const size_t mark = ek_arena_mark(tmp), bins = j->period / 2 + 1, wanted = j->grid / 2 + 1;
    double *x = ek_arena_f64(tmp, j->period), *y = ek_arena_f64(tmp, j->grid);
    double *in = ek_arena_f64(tmp, 2 * bins), *out = ek_arena_f64(tmp, 2 * wanted);
    if (!x || !y || !in || !out) return EK_ENOMEM;
    const size_t less = j->period < j->grid ? j->period : j->grid, kept = less / 2 + 1;
    for (size_t row = begin; row < end; row++) {
        const T *from = j->x + row * j->t;
        const double first = (double)from[0], last = (double)from[j->t - 1];
        for (size_t i = 0; i < j->t; i++) x[i] = (double)from[i];
        for (size_t i = j->t; i < j->period; i++)
            x[i] = last + (first - last) * (double)(i - j->t + 1) / (double)(j->period - j->t + 1);
        ek_fft_run_f64(j->forward, x, in);
        for (size_t c = 0; c < 2 * wanted; c++)
            out[c] = c < 2 * kept ? in[c] / (double)j->period : 0.0;
        if (less % 2 == 0 &&
            j->period != j->grid) { /* the Nyquist bin of the shorter stands for two */
            const double share = j->grid < j->period ? 2.0 : 0.5;
            out[2 * kept - 2] *= share;
            out[2 * kept - 1] *= share;
        }
        if (j->grid % 2 == 0) out[2 * wanted - 1] = 0.0;
        ek_fft_run_f64(j->backward, out, y);
        for (size_t i = 0; i < j->m; i++) j->out[row * j->m + i] = (T)y[i];
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

ek_status N(ek_dsp_resample_fft)(const T *x, size_t n, size_t t, size_t up, size_t down, T *out) {
    ek_fft_plan *forward = NULL, *backward = NULL;
    if (up == 0 || down == 0) return EK_EVALUE;
    if (n == 0) return EK_OK;
    if (t == 0 || t > SIZE_MAX / 16 / (up > down ? up : down)) return EK_ESHAPE;
    const size_t turns = (t + down - 1) / down;
    N(fourier_job)
    j = {x, out, t, (t * up + down - 1) / down, turns * down, turns * up, NULL, NULL};
    ek_status st = ek_fft_get(EK_FFT_R2C, EK_FFT_F64, j.period, &forward);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_C2R, EK_FFT_F64, j.grid, &backward);
    if (st == EK_OK) {
        j.forward = forward;
        j.backward = backward;
        st = ek_parallel_for(n, 1, N(fourier_rows), &j);
    }
    ek_fft_put(forward);
    ek_fft_put(backward);
    return st;
}
