/* The formulas in plain C: the oracle of the vector kernels, and what runs where there is no AVX2.
 */
#include "nn_kern.h"
#include <math.h>

enum { WIDTH = 8, ROWS = 4 };

static float clampf(float x, float lo, float hi) { /* NaN passes */
    const float y = x < lo ? lo : x;
    return y > hi ? hi : y;
}

static void tile(const ek_tile *t) {
    const size_t panel = t->columns > WIDTH ? 2 * WIDTH : WIDTH;
    for (size_t r = 0; r < t->rows; r++) {
        const float *a = t->a[r] + t->a_off, *b = t->b;
        double acc[2 * WIDTH];
        for (size_t j = 0; j < panel; j++)
            acc[j] = t->from == NULL ? 0.0 : (double)t->from[r * 2 * WIDTH + j];
        for (size_t k = 0; k < t->runs; k++)
            for (ptrdiff_t i = 0; i < t->run[k].length; i++, b += panel)
                for (size_t j = 0; j < panel; j++)
                    acc[j] += (double)a[t->run[k].offset + i] * (double)b[j];
        if (t->to != NULL) {
            for (size_t j = 0; j < panel; j++) t->to[r * 2 * WIDTH + j] = (float)acc[j];
            continue;
        }
        for (size_t j = 0; j < t->columns; j++) {
            const ptrdiff_t v = (ptrdiff_t)(j / WIDTH), lane = (ptrdiff_t)(j % WIDTH);
            float y = (float)(acc[j] + (double)t->bias[j]);
            if (t->res != NULL) y += t->res[r][t->res_off + v * t->res_step + lane];
            t->c[r][t->c_off + v * t->c_step + lane] = clampf(y, t->lo, t->hi);
        }
    }
}

static void dw_row(const ek_dw_row *d) {
    for (size_t i = 0; i < d->n; i++)
        for (size_t l = 0; l < EK_LANES; l++) {
            float acc = d->bias[l];
            for (size_t y = 0; y < d->kh; y++)
                for (size_t x = 0; x < d->kw; x++)
                    acc += d->x[(ptrdiff_t)i * d->step + (ptrdiff_t)y * d->tap_y +
                                (ptrdiff_t)x * d->tap_x + (ptrdiff_t)l] *
                           d->w[(y * d->kw + x) * EK_LANES + l];
            d->out[i * EK_LANES + l] = clampf(acc, d->lo, d->hi);
        }
}

static void max_window(const ek_window *w) {
    for (size_t l = 0; l < w->lanes; l++) {
        float best = -INFINITY;
        for (size_t y = w->y0; y < w->y1; y++)
            for (size_t x = w->x0; x < w->x1; x++) {
                const float v = w->x[(ptrdiff_t)y * w->pitch + (ptrdiff_t)(x * EK_LANES + l)];
                if (v > best || isnan(v)) best = v;
            }
        w->out[l] = best;
    }
}

static void mean_window(const ek_window *w) {
    for (size_t l = 0; l < w->lanes; l++) {
        double sum = 0.0;
        for (size_t y = w->y0; y < w->y1; y++)
            for (size_t x = w->x0; x < w->x1; x++)
                sum += (double)w->x[(ptrdiff_t)y * w->pitch + (ptrdiff_t)(x * EK_LANES + l)];
        w->out[l] = (float)sum * w->scale;
    }
}

/* B^T d B by rows and columns: (d0-d2, d1+d2, d2-d1, d1-d3). */
static void wino_line(const float *d, size_t step, float *out, size_t out_step) {
    const float d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    out[0] = d0 - d2;
    out[out_step] = d1 + d2;
    out[2 * out_step] = d2 - d1;
    out[3 * out_step] = d1 - d3;
}

static void wino_in(const float *x, size_t pitch, size_t n, float *v, size_t point) {
    for (size_t t = 0; t < n; t++)
        for (size_t l = 0; l < EK_LANES; l++) {
            float half[16];
            for (size_t j = 0; j < 4; j++)
                wino_line(x + (2 * t + j) * EK_LANES + l, pitch, half + j, 4);
            for (size_t i = 0; i < 4; i++)
                wino_line(half + 4 * i, 1, v + 4 * i * point + t * EK_LANES + l, point);
        }
}

static void wino_out(const ek_wino_out *o) {
    for (size_t t = 0; t < o->n; t++)
        for (size_t l = 0; l < EK_LANES; l++) {
            const float *m = o->m + t * o->tile + l;
            float half[2][4];
            for (size_t j = 0; j < 4; j++) {
                const float a = m[j * o->point], b = m[(4 + j) * o->point],
                            c = m[(8 + j) * o->point], d = m[(12 + j) * o->point];
                half[0][j] = a + b + c;
                half[1][j] = b - c - d;
            }
            for (size_t y = 0; y < o->rows; y++)
                for (size_t x = 0; x < 2 && 2 * t + x < o->columns; x++) {
                    const float *h = half[y];
                    float sum = x == 0 ? h[0] + h[1] + h[2] : h[1] - h[2] - h[3];
                    sum += o->bias[l];
                    if (!isfinite(sum)) o->bad[t] = 1;
                    if (o->res != NULL)
                        sum += o->res[y * o->res_pitch + (2 * t + x) * EK_LANES + l];
                    o->out[y * o->pitch + (2 * t + x) * EK_LANES + l] = clampf(sum, o->lo, o->hi);
                }
        }
}

/* F(2, 5) or F(4, 3) at 0, +-A, +-B and infinity. */
static void wino_line_in(size_t outputs, const float *x, size_t n, float *v, size_t point) {
    const float a = (float)EK_WINO_A, b = (float)EK_WINO_B, a2 = a * a, b2 = b * b;
    for (size_t t = 0; t < n; t++)
        for (size_t l = 0; l < EK_LANES; l++) {
            const float *p = x + outputs * t * EK_LANES + l;
            float *o = v + t * EK_LANES + l;
            float d[6];
            for (size_t j = 0; j < 6; j++) d[j] = p[j * EK_LANES];
            o[0] = a2 * b2 * d[0] - (a2 + b2) * d[2] + d[4];
            o[point] = d[4] - b2 * d[2] + a * (d[3] - b2 * d[1]);
            o[2 * point] = d[4] - b2 * d[2] - a * (d[3] - b2 * d[1]);
            o[3 * point] = d[4] - a2 * d[2] + b * (d[3] - a2 * d[1]);
            o[4 * point] = d[4] - a2 * d[2] - b * (d[3] - a2 * d[1]);
            o[5 * point] = a2 * b2 * d[1] - (a2 + b2) * d[3] + d[5];
        }
}

static void wino_line_out(size_t outputs, const ek_wino_out *o) {
    const float a = (float)EK_WINO_A, b = (float)EK_WINO_B;
    for (size_t t = 0; t < o->n; t++)
        for (size_t l = 0; l < EK_LANES; l++) {
            float m[6], y[4];
            for (size_t j = 0; j < 6; j++) m[j] = o->m[t * o->tile + l + j * o->point];
            const float even_a = m[1] + m[2], odd_a = m[1] - m[2];
            const float even_b = m[3] + m[4], odd_b = m[3] - m[4];
            y[0] = m[0] + even_a + even_b;
            y[1] = a * odd_a + b * odd_b;
            y[2] = a * a * even_a + b * b * even_b;
            y[3] = a * a * a * odd_a + b * b * b * odd_b;
            y[outputs - 1] += m[5];
            for (size_t x = 0; x < outputs && outputs * t + x < o->columns; x++) {
                const size_t at = (outputs * t + x) * EK_LANES + l;
                float sum = y[x] + o->bias[l];
                if (!isfinite(sum)) o->bad[t] = 1;
                if (o->res != NULL) sum += o->res[at];
                o->out[at] = clampf(sum, o->lo, o->hi);
            }
        }
}

static float sigmoidf(float x) {
    return 1.0f / (1.0f + expf(-x));
}

static void recur(const ek_recur *p) {
    for (size_t r = 0; r < p->rows; r++)
        for (size_t j = 0; j < p->columns; j++) {
            float sum = 0.0f;
            for (size_t i = 0; i < p->hidden; i++) {
                const size_t k = p->backwards ? p->hidden - 1 - i : i;
                sum += p->h[r][k] * p->w[ek_recur_at(p->hidden, p->columns, WIDTH, k, j)];
            }
            p->to[r][j] = p->from[r][j] + sum;
        }
}

static void lstm_cell(const float *sums, float *cell, float *h, size_t n) {
    for (size_t j = 0; j < n; j++) {
        float s[4];
        for (size_t g = 0; g < 4; g++) s[g] = sums[ek_lstm_at(n, g, j)];
        cell[j] = sigmoidf(s[1]) * cell[j] + sigmoidf(s[0]) * tanhf(s[2]);
        h[j] = sigmoidf(s[3]) * tanhf(cell[j]);
    }
}

static void gru_cell(const float *sums, size_t gate, const float *xn, float *h, size_t n) {
    for (size_t j = 0; j < n; j++) {
        const float *s = sums + j;
        const float fresh = tanhf(xn[j] + sigmoidf(s[0]) * s[2 * gate]);
        h[j] = fresh + sigmoidf(s[gate]) * (h[j] - fresh);
    }
}

static float act1(ek_act kind, float param, float x) {
    switch (kind) {
    case EK_ACT_RELU: return x < 0.0f ? 0.0f : x;
    case EK_ACT_RELU6: return clampf(x, 0.0f, 6.0f);
    case EK_ACT_SIGMOID: return sigmoidf(x);
    case EK_ACT_TANH: return tanhf(x);
    case EK_ACT_SILU: return x / (1.0f + expf(-x));
    case EK_ACT_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case EK_ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case EK_ACT_LEAKY: return x < 0.0f ? param * x : x;
    case EK_ACT_EXP: return expf(x);
    default: return x;
    }
}

static void act(ek_act kind, float param, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = act1(kind, param, x[i]);
}

static void add(const float *x, const float *y, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] + y[i];
}

static void mul(const float *x, const float *y, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] * y[i];
}

static void affine16(const float *x, const float *scale, const float *shift, float *out, size_t n) {
    for (size_t i = 0; i < n * EK_LANES; i++)
        out[i] = x[i] * scale[i % EK_LANES] + shift[i % EK_LANES];
}

static void pair_max(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n * EK_LANES; i++) {
        const float *p = x + i / EK_LANES * 2 * EK_LANES + i % EK_LANES;
        out[i] = isnan(p[0]) || p[0] > p[EK_LANES] ? p[0] : p[EK_LANES];
    }
}

static void softmax(const float *x, float *out, size_t n) {
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++) top = x[i] > top || isnan(x[i]) ? x[i] : top;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        out[i] = expf(x[i] - top);
        sum += (double)out[i];
    }
    for (size_t i = 0; i < n; i++) out[i] *= (float)(1.0 / sum);
}

static void layer_norm(const float *x, const float *scale, const float *shift, float eps,
                       float *out, size_t n) {
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double inverse = 1.0 / sqrt(squares / (double)n + (double)eps);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(((double)x[i] - mean) * inverse) * scale[i] + shift[i];
}

static void attn_row(const ek_attn_row *r) {
    float top = *r->top;
    for (size_t i = 0; i < r->n; i++) {
        double x = (double)r->x[i] * (double)r->scale;
        for (size_t b = 0; b < 2; b++)
            if (r->bias[b] != NULL) x += (double)r->bias[b][i];
        r->x[i] = r->keep != NULL && r->keep[i] == 0.0f ? -INFINITY : (float)x;
        if (r->x[i] > top) top = r->x[i];
    }
    const float base = top == -INFINITY ? 0.0f : top;
    double sum = 0.0;
    for (size_t i = 0; i < r->n; i++) sum += (double)(r->x[i] = expf(r->x[i] - base));
    for (size_t i = r->n; i < r->fill; i++) r->x[i] = 0.0f;
    *r->fade = expf(*r->top - base);
    *r->sum = *r->sum * *r->fade + (float)sum;
    *r->top = top;
}

static void attn_turn(const float *const *rows, size_t n, size_t d, float *out, size_t pitch) {
    for (size_t c = 0; c < d; c++)
        for (size_t i = 0; i < WIDTH; i++) out[c * pitch + i] = i < n ? rows[i][c] : 0.0f;
}

const ek_nn_isa ek_nn_isa_ref = {
    "ref",
    0,
    WIDTH,
    ROWS,
    tile,
    dw_row,
    max_window,
    mean_window,
    wino_in,
    wino_out,
    recur,
    lstm_cell,
    gru_cell,
    act,
    add,
    mul,
    affine16,
    softmax,
    layer_norm,
    .wino_line_in = wino_line_in,
    .wino_line_out = wino_line_out,
    .pair_max = pair_max,
    .attn_row = attn_row,
    .attn_turn = attn_turn,
    .recur_rows = 4,
};
