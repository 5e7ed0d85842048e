/* Stacked scalograms. The rows of every signal (a lead of a window, or of the record if cwt_first)
 * go to their place in the pictures; then each picture is scaled, or made a CNN's input. Where
 * windows are transformed by themselves, a piece of work is a few windows of one record, both
 * steps, so that nothing leaves the core's cache in between. */
#include "image_impl.h"
#include "lanes.h"
#include <math.h>
#include <string.h>

typedef struct {
    const float *x;
    size_t leads, t, windows;
    const ek_lane_plan *plan;
    const ek_stack_spec *spec;
    const ek_area *area_rows, *area_cols;
    ek_fft_plan *backward;
    const ek_lane_kernel *kernel; /* NULL: the reference, one full-length transform per row */
    size_t piece;                 /* windows in one piece of work */
    float *pictures;              /* cwt_first: those of the record at hand */
    float *out;
} stack_job;

static size_t picture_size(const stack_job *j) {
    return j->leads * j->plan->bank.rows * j->spec->width;
}

static size_t item_size(const stack_job *j) {
    return j->spec->image_h ? 3 * j->spec->image_h * j->spec->image_w : picture_size(j);
}

static ek_status signal_ref(const stack_job *j, const float *x, float *out, ek_arena *tmp) {
    const ek_wavelet_bank *bank = &j->plan->bank;
    const ek_lane_columns *c = &j->plan->columns;
    const size_t nfft = bank->nfft, mark = ek_arena_mark(tmp);
    float *padded = ek_arena_f32(tmp, nfft), *spectrum = ek_arena_f32(tmp, nfft + 2);
    float *z = ek_arena_f32(tmp, 2 * nfft), *y = ek_arena_f32(tmp, 2 * nfft);
    float *m = ek_arena_f32(tmp, bank->t);
    if (!padded || !spectrum || !z || !y || !m) return EK_ENOMEM;
    memset(z, 0, 2 * nfft * sizeof *z);
    ek_wavelet_pad_f32(x, bank, padded);
    ek_fft_run_f32(j->plan->forward, padded, spectrum);
    for (size_t r = 0; r < bank->rows; r++) {
        const ek_wavelet_row *row = &bank->row[r];
        const float *w = bank->w32 + row->at, *in = spectrum + 2 * row->first;
        float *band = z + 2 * row->first;
        for (size_t i = 0; i < row->count; i++) {
            band[2 * i] = in[2 * i] * w[i];
            band[2 * i + 1] = in[2 * i + 1] * w[i];
        }
        ek_fft_run_f32(j->backward, z, y);
        memset(band, 0, 2 * row->count * sizeof *band);
        const float *v = y + 2 * bank->left;
        for (size_t i = 0; i < bank->t; i++) {
            m[i] = v[2 * i] * v[2 * i] + v[2 * i + 1] * v[2 * i + 1];
            if (!j->spec->power) m[i] = sqrtf(m[i]);
        }
        for (size_t i = 0; i < c->count; i++) {
            const float low = m[c->low[i]];
            out[i / c->block * c->block_stride + r * c->block + i % c->block] =
                low + c->frac[i] * (m[c->high[i]] - low);
        }
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

static ek_status lanes(const stack_job *j, const float *const *x, float *const *out, size_t n,
                       float *bins, ek_arena *tmp) {
    const ek_status st = j->kernel->spectra(j->plan, x, n, bins, tmp);
    if (st != EK_OK) return st;
    return j->kernel->rows(j->plan, bins, j->spec->power, 0, j->plan->bank.rows, out, n, tmp);
}

/* n signals: leads t apart, windows follow each other after all leads; their rows one after the
 * other from out on. */
static ek_status signals(const stack_job *j, const float *x, size_t n, float *out, ek_arena *tmp) {
    const size_t rows_size = j->plan->bank.rows * j->spec->width, mark = ek_arena_mark(tmp);
    const size_t together = j->kernel ? j->kernel->lanes : 1;
    float *bins = ek_arena_f32(tmp, 2 * together * j->plan->bins_total);
    const float *from[EK_LANES_MOST];
    float *to[EK_LANES_MOST];
    size_t waiting = 0;
    if (bins == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const float *xi = x + i % j->leads * j->t + i / j->leads * j->spec->window;
        if (ek_lane_usable(j->plan, xi, out + i * rows_size)) {
            from[waiting] = xi;
            to[waiting++] = out + i * rows_size;
        }
        if (waiting == 0 || (waiting < together && i + 1 < n)) continue;
        const ek_status st =
            j->kernel ? lanes(j, from, to, waiting, bins, tmp) : signal_ref(j, from[0], to[0], tmp);
        if (st != EK_OK) return st;
        waiting = 0;
    }
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

/* Scale the picture of one window in place, or make it a CNN's input. */
static ek_status finish(const stack_job *j, float *picture, float *out, ek_arena *tmp) {
    const ek_stack_spec *s = j->spec;
    const size_t lead_size = j->plan->bank.rows * s->width;
    if (s->scale == EK_STACK_LEAD)
        for (size_t l = 0; l < j->leads; l++) ek_minmax_f32(picture + l * lead_size, lead_size);
    if (s->image_h == 0) {
        if (s->scale == EK_STACK_MINMAX) ek_minmax_f32(picture, picture_size(j));
        return EK_OK;
    }
    const size_t pixels = s->image_h * s->image_w, mark = ek_arena_mark(tmp);
    float *line = ek_arena_f32(tmp, s->width), *grey = ek_arena_f32(tmp, pixels);
    if (line == NULL || grey == NULL) return EK_ENOMEM;
    ek_area_resize_f32(picture, j->area_rows, j->area_cols, line, grey);
    if (s->scale == EK_STACK_MINMAX) ek_minmax_f32(grey, pixels);
    ek_imagenet_f32(grey, pixels, s->jet, out);
    ek_arena_reset(tmp, mark);
    return EK_OK;
}

/* Items are (record, piece of its windows). */
static ek_status windows_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const stack_job *j = ctx;
    const size_t pieces = (j->windows + j->piece - 1) / j->piece, size = picture_size(j);
    for (size_t item = begin; item < end; item++) {
        const size_t mark = ek_arena_mark(tmp);
        const size_t record = item / pieces, first = item % pieces * j->piece;
        const size_t now = j->windows - first < j->piece ? j->windows - first : j->piece;
        float *out = j->out + (record * j->windows + first) * item_size(j);
        float *pictures = j->spec->image_h ? ek_arena_f32(tmp, now * size) : out;
        if (pictures == NULL) return EK_ENOMEM;
        const float *x = j->x + record * j->leads * j->t + first * j->spec->window;
        ek_status st = signals(j, x, now * j->leads, pictures, tmp);
        for (size_t w = 0; st == EK_OK && w < now; w++)
            st = finish(j, pictures + w * size, out + w * item_size(j), tmp);
        if (st != EK_OK) return st;
        ek_arena_reset(tmp, mark);
    }
    return EK_OK;
}

/* cwt_first: items are groups of leads of the record at hand. */
static ek_status leads_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const stack_job *j = ctx;
    const size_t group = j->kernel ? j->kernel->lanes : 1;
    for (size_t item = begin; item < end; item++) {
        const size_t first = item * group, left = j->leads - first;
        const ek_status st =
            signals(j, j->x + first * j->t, left < group ? left : group,
                    j->pictures + first * j->plan->bank.rows * j->spec->width, tmp);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

static ek_status finish_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const stack_job *j = ctx;
    for (size_t w = begin; w < end; w++) {
        const ek_status st =
            finish(j, j->pictures + w * picture_size(j), j->out + w * item_size(j), tmp);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

static ek_status run_cwt_first(stack_job *j, size_t n, ek_arena *tmp) {
    const size_t group = j->kernel ? j->kernel->lanes : 1;
    float *staging = j->spec->image_h ? ek_arena_f32(tmp, j->windows * picture_size(j)) : NULL;
    if (j->spec->image_h && staging == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        j->pictures = staging ? staging : j->out;
        ek_status st = ek_parallel_for((j->leads + group - 1) / group, 1, leads_body, j);
        if (st == EK_OK) st = ek_parallel_for(j->windows, 1, finish_body, j);
        if (st != EK_OK) return st;
        j->x += j->leads * j->t;
        j->out += j->windows * item_size(j);
    }
    return EK_OK;
}

ek_status ek_wavelet_stacked_f32(const float *x, size_t n, size_t leads, size_t t,
                                 const ek_wavelet_spec *spec, const ek_stack_spec *stack,
                                 float *out) {
    if (stack->window == 0 || stack->window > t || t > UINT32_MAX || stack->width == 0)
        return EK_ESHAPE;
    if ((stack->image_h == 0) != (stack->image_w == 0)) return EK_ESHAPE;
    if (n == 0 || leads == 0 || spec->rows == 0) return EK_OK;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    const size_t windows = t / stack->window;
    ek_lane_key key = {stack->window, stack->window, stack->width, 1, 0, spec, NULL};
    if (stack->cwt_first)
        key = (ek_lane_key){
            t, stack->window, stack->width, windows, leads * spec->rows * stack->width, spec, NULL};
    ek_lane_plan *plan = NULL;
    ek_area rows, cols;
    stack_job j = {.x = x,
                   .leads = leads,
                   .t = t,
                   .windows = windows,
                   .spec = stack,
                   .area_rows = &rows,
                   .area_cols = &cols,
                   .piece = 1,
                   .out = out};
    j.kernel = ek_lane_pick();
    while (j.kernel && j.piece < 4 && j.piece * leads % j.kernel->lanes != 0)
        j.piece++; /* few idle lanes */
    ek_status st = ek_lane_plan_get(&key, &plan);
    j.plan = plan;
    if (st == EK_OK && stack->image_h)
        st = ek_area_make(leads * spec->rows, stack->image_h, &rows, tmp);
    if (st == EK_OK && stack->image_h) st = ek_area_make(stack->width, stack->image_w, &cols, tmp);
    if (st == EK_OK && j.kernel == NULL)
        st = ek_fft_get(EK_FFT_BACKWARD, EK_FFT_F32, plan->bank.nfft, &j.backward);
    if (st == EK_OK)
        st = stack->cwt_first
                 ? run_cwt_first(&j, n, tmp)
                 : ek_parallel_for(n * ((windows + j.piece - 1) / j.piece), 1, windows_body, &j);
    ek_lane_plan_put(plan);
    ek_fft_put(j.backward);
    ek_arena_return(tmp);
    return st;
}
