/* Stacked scalograms: one item is one window of one record, all leads, so nothing leaves the core's
 * cache before it is done. */
#include "image_impl.h"
#include "wavelet_impl.h"
#include <math.h>
#include <string.h>

typedef struct {
    const float *x;
    size_t leads, t, windows;
    const ek_wavelet_bank *bank;
    const ek_wavelet_resize *resize;
    const ek_stack_spec *spec;
    const ek_area *area_rows, *area_cols;
    ek_fft_plan *forward, *backward;
    float *picture; /* cwt_first: (windows, leads*rows, width) of the record at hand */
    float *out;
} stack_job;

static size_t picture_size(const stack_job *j) {
    return j->leads * j->bank->rows * j->spec->width;
}

static size_t item_size(const stack_job *j) {
    return j->spec->image_h ? 3 * j->spec->image_h * j->spec->image_w : picture_size(j);
}

/* The magnitude of one filter bank row over all of the signal. z is all zero before and after. */
static void row_magnitude(const stack_job *j, const float *spectrum, const ek_wavelet_row *row,
                          float *z, float *y, float *m) {
    const float *in = spectrum + 2 * row->first, *w = j->bank->w32 + row->at;
    float *band = z + 2 * row->first;
    for (size_t i = 0; i < row->count; i++) {
        band[2 * i] = in[2 * i] * w[i];
        band[2 * i + 1] = in[2 * i + 1] * w[i];
    }
    ek_fft_run_f32(j->backward, z, y);
    memset(band, 0, 2 * row->count * sizeof *band);
    const float *v = y + 2 * j->bank->left;
    for (size_t i = 0; i < j->bank->t; i++)
        m[i] = v[2 * i] * v[2 * i] + v[2 * i + 1] * v[2 * i + 1];
    if (!j->spec->power)
        for (size_t i = 0; i < j->bank->t; i++) m[i] = sqrtf(m[i]);
}

static void resized(const float *m, const ek_wavelet_resize *r, float *out) {
    for (size_t c = 0; c < r->width; c++) {
        const float low = m[r->low[c]];
        out[c] = low + r->frac32[c] * (m[r->high[c]] - low);
    }
}

/* Scale the picture of one window; into out as it is or as a CNN's input. */
static ek_status finish(const stack_job *j, float *picture, float *out, ek_arena *tmp) {
    const ek_stack_spec *s = j->spec;
    const size_t lead_size = j->bank->rows * s->width;
    if (s->scale == EK_STACK_LEAD)
        for (size_t l = 0; l < j->leads; l++) ek_minmax_f32(picture + l * lead_size, lead_size);
    if (s->image_h == 0) {
        if (s->scale == EK_STACK_MINMAX) ek_minmax_f32(picture, picture_size(j));
        if (picture != out) memcpy(out, picture, picture_size(j) * sizeof *out);
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

static int finite_row(const float *x, size_t t) {
    float sum = 0; /* 0*x is NaN for NaN and infinity, else 0 */
    for (size_t i = 0; i < t; i++) sum += 0 * x[i];
    return sum == 0;
}

typedef struct {
    float *padded, *spectrum, *z, *y, *m;
} row_scratch;

static int scratch_make(const ek_wavelet_bank *bank, row_scratch *s, ek_arena *tmp) {
    const size_t nfft = bank->nfft;
    s->padded = ek_arena_f32(tmp, nfft);
    s->spectrum = ek_arena_f32(tmp, nfft + 2);
    s->z = ek_arena_f32(tmp, 2 * nfft);
    s->y = ek_arena_f32(tmp, 2 * nfft);
    s->m = ek_arena_f32(tmp, bank->t);
    if (!s->padded || !s->spectrum || !s->z || !s->y || !s->m) return 0;
    memset(s->z, 0, 2 * nfft * sizeof *s->z);
    return 1;
}

/* Items are (record, window). */
static ek_status windows_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const stack_job *j = ctx;
    const ek_wavelet_bank *bank = j->bank;
    const size_t width = j->spec->width;
    row_scratch s;
    float *picture = j->spec->image_h ? ek_arena_f32(tmp, picture_size(j)) : NULL;
    if (!scratch_make(bank, &s, tmp) || (j->spec->image_h && picture == NULL)) return EK_ENOMEM;
    for (size_t item = begin; item < end; item++) {
        const float *record = j->x + item / j->windows * j->leads * j->t;
        float *out = j->out + item * item_size(j), *p = picture ? picture : out;
        for (size_t l = 0; l < j->leads; l++) {
            const float *x = record + l * j->t + item % j->windows * bank->t;
            float *rows = p + l * bank->rows * width;
            if (!finite_row(x, bank->t)) {
                for (size_t i = 0; i < bank->rows * width; i++) rows[i] = NAN;
                continue;
            }
            ek_wavelet_pad_f32(x, bank, s.padded);
            ek_fft_run_f32(j->forward, s.padded, s.spectrum);
            for (size_t r = 0; r < bank->rows; r++) {
                row_magnitude(j, s.spectrum, &bank->row[r], s.z, s.y, s.m);
                resized(s.m, j->resize, rows + r * width);
            }
        }
        const ek_status st = finish(j, p, out, tmp);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

/* cwt_first, items are (lead, part of its rows) of one record. */
enum { ROWS_PER_ITEM = 16 };

static ek_status leads_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const stack_job *j = ctx;
    const ek_wavelet_bank *bank = j->bank;
    const size_t width = j->spec->width, parts = (bank->rows + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM;
    row_scratch s;
    if (!scratch_make(bank, &s, tmp)) return EK_ENOMEM;
    for (size_t item = begin; item < end; item++) {
        const size_t l = item / parts, first = item % parts * ROWS_PER_ITEM;
        const size_t last = first + ROWS_PER_ITEM < bank->rows ? first + ROWS_PER_ITEM : bank->rows;
        const float *x = j->x + l * j->t;
        const int good = finite_row(x, j->t);
        if (good) {
            ek_wavelet_pad_f32(x, bank, s.padded);
            ek_fft_run_f32(j->forward, s.padded, s.spectrum);
        }
        for (size_t r = first; r < last; r++) {
            if (good) row_magnitude(j, s.spectrum, &bank->row[r], s.z, s.y, s.m);
            for (size_t w = 0; w < j->windows; w++) {
                float *out = j->picture + w * picture_size(j) + (l * bank->rows + r) * width;
                if (good)
                    resized(s.m + w * j->spec->window, j->resize, out);
                else
                    for (size_t c = 0; c < width; c++) out[c] = NAN;
            }
        }
    }
    return EK_OK;
}

static ek_status finish_body(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    const stack_job *j = ctx;
    for (size_t w = begin; w < end; w++) {
        const ek_status st =
            finish(j, j->picture + w * picture_size(j), j->out + w * item_size(j), tmp);
        if (st != EK_OK) return st;
    }
    return EK_OK;
}

static ek_status run_cwt_first(stack_job *j, size_t n, ek_arena *tmp) {
    const size_t parts = (j->bank->rows + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM;
    j->picture = ek_arena_f32(tmp, j->windows * picture_size(j));
    if (j->picture == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        ek_status st = ek_parallel_for(j->leads * parts, 1, leads_body, j);
        if (st == EK_OK) st = ek_parallel_for(j->windows, 1, finish_body, j);
        if (st == EK_OK) st = ek_poll();
        if (st != EK_OK) return st;
        j->x += j->leads * j->t;
        j->out += j->windows * item_size(j);
    }
    return EK_OK;
}

ek_status ek_wavelet_stacked_f32(const float *x, size_t n, size_t leads, size_t t,
                                 const ek_wavelet_spec *spec, const ek_stack_spec *stack,
                                 float *out) {
    if (stack->window == 0 || stack->window > t || stack->width == 0) return EK_ESHAPE;
    if ((stack->image_h == 0) != (stack->image_w == 0)) return EK_ESHAPE;
    if (n == 0 || leads == 0 || spec->rows == 0) return EK_OK;
    ek_arena *tmp = ek_arena_borrow();
    if (tmp == NULL) return EK_ENOMEM;
    ek_wavelet_bank bank;
    ek_wavelet_resize resize;
    ek_area rows, cols;
    stack_job j = {.x = x,
                   .leads = leads,
                   .t = t,
                   .windows = t / stack->window,
                   .bank = &bank,
                   .resize = &resize,
                   .spec = stack,
                   .area_rows = &rows,
                   .area_cols = &cols,
                   .out = out};
    ek_status st =
        ek_wavelet_bank_make(stack->cwt_first ? t : stack->window, spec, EK_FFT_F32, &bank, tmp);
    if (st == EK_OK) st = ek_wavelet_resize_make(stack->window, stack->width, &resize, tmp);
    if (st == EK_OK && stack->image_h)
        st = ek_area_make(leads * spec->rows, stack->image_h, &rows, tmp);
    if (st == EK_OK && stack->image_h) st = ek_area_make(stack->width, stack->image_w, &cols, tmp);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_R2C, EK_FFT_F32, bank.nfft, &j.forward);
    if (st == EK_OK) st = ek_fft_get(EK_FFT_BACKWARD, EK_FFT_F32, bank.nfft, &j.backward);
    if (st == EK_OK)
        st = stack->cwt_first ? run_cwt_first(&j, n, tmp)
                              : ek_parallel_for(n * j.windows, 1, windows_body, &j);
    ek_fft_put(j.forward);
    ek_fft_put(j.backward);
    ek_arena_return(tmp);
    return st;
}
