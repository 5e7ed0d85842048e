/* Filter bank, padding, interpolation table. */
#include "wavelet_impl.h"
#include <math.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

/* Bins k in 1..N/2 with |w_k*s - w0| <= reach. */
static void support(double scale, double w0, double reach, size_t nfft, ek_wavelet_row *row) {
    const double bin = 2.0 * PI / (double)nfft * scale;
    const double low = ceil((w0 - reach) / bin), high = floor((w0 + reach) / bin);
    const double last = (double)(nfft / 2);
    row->first = low > 1.0 ? (size_t)low : 1;
    const size_t end = high < last ? (high > 0.0 ? (size_t)high : 0) : nfft / 2;
    row->count = end >= row->first ? end - row->first + 1 : 0;
}

ek_status ek_wavelet_bank_make(size_t t, const ek_wavelet_spec *spec, ek_fft_type type,
                               ek_wavelet_bank *bank, ek_arena *tmp) {
    if (t == 0 || t > SIZE_MAX / 64) return EK_ESHAPE;
    return ek_wavelet_bank_sized(t, spec->pad == EK_PAD_PERIODIC ? t : ek_fft_good_size(2 * t),
                                 spec, type, bank, tmp);
}

ek_status ek_wavelet_bank_sized(size_t t, size_t nfft, const ek_wavelet_spec *spec,
                                ek_fft_type type, ek_wavelet_bank *bank, ek_arena *tmp) {
    if (!(spec->fs > 0.0) || !(spec->w0 > 0.0)) return EK_EVALUE;
    const double floor_ = type == EK_FFT_F32 ? 1e-7 : 1e-16;
    const double reach = sqrt(-2.0 * log(floor_ / 2.0));
    bank->t = t;
    bank->nfft = nfft;
    bank->left = (bank->nfft - t) / 2;
    bank->pad = spec->pad;
    bank->rows = spec->rows;
    bank->w32 = NULL;
    bank->w64 = NULL;
    bank->row = ek_arena_alloc(tmp, spec->rows, sizeof *bank->row);
    if (bank->row == NULL) return EK_ENOMEM;
    size_t total = 0;
    for (size_t j = 0; j < spec->rows; j++) {
        const double f = spec->freqs[j];
        if (!(f > 0.0) || f > 0.5 * spec->fs) return EK_EVALUE;
        support(spec->w0 * spec->fs / (2.0 * PI * f), spec->w0, reach, bank->nfft, &bank->row[j]);
        bank->row[j].at = total;
        total += bank->row[j].count;
    }
    if (type == EK_FFT_F32)
        bank->w32 = ek_arena_f32(tmp, total);
    else
        bank->w64 = ek_arena_f64(tmp, total);
    if (bank->w32 == NULL && bank->w64 == NULL) return EK_ENOMEM;
    for (size_t j = 0; j < spec->rows; j++) {
        const ek_wavelet_row *row = &bank->row[j];
        const double bin = spec->w0 * spec->fs / (spec->freqs[j] * (double)bank->nfft);
        for (size_t i = 0; i < row->count; i++) {
            const double d = bin * (double)(row->first + i) - spec->w0;
            const double w = 2.0 * exp(-0.5 * d * d) / (double)bank->nfft;
            if (type == EK_FFT_F32)
                bank->w32[row->at + i] = (float)w;
            else
                bank->w64[row->at + i] = w;
        }
    }
    return EK_OK;
}

ek_status ek_wavelet_resize_make(size_t n, size_t width, ek_wavelet_resize *r, ek_arena *tmp) {
    if (n == 0 || n > UINT32_MAX || width == 0) return EK_ESHAPE;
    r->width = width;
    r->low = ek_arena_alloc(tmp, width, sizeof *r->low);
    r->high = ek_arena_alloc(tmp, width, sizeof *r->high);
    r->frac32 = ek_arena_f32(tmp, width);
    r->frac64 = ek_arena_f64(tmp, width);
    if (r->low == NULL || r->high == NULL || r->frac32 == NULL || r->frac64 == NULL)
        return EK_ENOMEM;
    const double last = (double)(n - 1);
    for (size_t c = 0; c < width; c++) {
        double at = ((double)c + 0.5) * (double)n / (double)width - 0.5;
        at = at < 0.0 ? 0.0 : at > last ? last : at;
        const size_t low = (size_t)at;
        r->low[c] = (uint32_t)low;
        r->high[c] = (uint32_t)(low + 1 < n ? low + 1 : n - 1);
        r->frac64[c] = at - (double)low;
        r->frac32[c] = (float)r->frac64[c];
    }
    return EK_OK;
}

/* Padded sample -> sample of x under reflection: the extension has period 2(t-1). */
static size_t mirrored(size_t i, size_t left, size_t t) {
    if (t == 1) return 0;
    const size_t period = 2 * (t - 1);
    const size_t p = (i + period - left % period) % period;
    return p < t ? p : period - p;
}

#define PAD(NAME, REAL)                                                                            \
    void NAME(const REAL *x, const ek_wavelet_bank *bank, REAL *out) {                             \
        const size_t t = bank->t, left = bank->left, end = left + t;                               \
        memcpy(out + left, x, t * sizeof *x);                                                      \
        if (bank->pad == EK_PAD_REFLECT) {                                                         \
            const size_t right = bank->nfft - end;                                                 \
            if (left < t && right < t) {                                                           \
                for (size_t i = 0; i < left; i++) out[i] = x[left - i];                            \
                for (size_t i = 0; i < right; i++) out[end + i] = x[t - 2 - i];                    \
            } else {                                                                               \
                for (size_t i = 0; i < left; i++) out[i] = x[mirrored(i, left, t)];                \
                for (size_t i = end; i < bank->nfft; i++) out[i] = x[mirrored(i, left, t)];        \
            }                                                                                      \
        } else {                                                                                   \
            memset(out, 0, left * sizeof *x);                                                      \
            memset(out + end, 0, (bank->nfft - end) * sizeof *x);                                  \
        }                                                                                          \
    }
PAD(ek_wavelet_pad_f32, float)
PAD(ek_wavelet_pad_f64, double)
