/* The recurrent part of one LSTM layer. The input part, x W_ih^T + b_ih + b_hh, is a linear step
 * before it. lstm  bufs gates, out, [h0], [c0], [hn], [cn]   ints items, time, directions, hidden
 *         arrays weight_hh (4*hidden, hidden) per direction, gates i f g o
 *         gates (items, time, directions, blocks, 4, width): for every block of `width` hidden
 * units its four gates; out (items, time, directions*hidden); h0 c0 hn cn (items, directions,
 * hidden) Gates of one block stay in registers from the product to the state. A unit is one
 * direction of up to four sequences. */
#include "nn_step.h"
#include <string.h>

typedef struct {
    size_t items, time, directions, hidden, blocks;
    float weight[]; /* (directions, blocks, hidden, 4*width) */
} lstm_data;

static ek_status lstm_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 6 || a->nints != 4 || s->buf[0] == NULL || s->buf[1] == NULL) return EK_EVALUE;
    for (size_t i = 0; i < 4; i++)
        if (a->ints[i] < 1 || a->ints[i] > INT32_MAX) return EK_EVALUE;
    const size_t items = (size_t)a->ints[0], time = (size_t)a->ints[1], dirs = (size_t)a->ints[2],
                 hidden = (size_t)a->ints[3];
    const size_t width = s->isa->width, blocks = ek_nn_ceil(hidden, width), wide = 4 * width;
    size_t steps, weights, gates, states;
    if (dirs > 2 || a->narrays != dirs || __builtin_mul_overflow(items, time, &steps) ||
        __builtin_mul_overflow(items * dirs, hidden, &states) ||
        __builtin_mul_overflow(hidden * wide, blocks * dirs, &weights) ||
        __builtin_mul_overflow(steps, dirs * blocks * wide, &gates))
        return EK_EVALUE;
    for (size_t i = 0; i < 6; i++) {
        const ek_nn_buf *b = s->buf[i];
        if (b == NULL) continue;
        if (b->lanes != 1 || ek_nn_has_border(b)) return EK_EVALUE;
        if (b->size != (i == 0 ? gates : i == 1 ? steps * dirs * hidden : states)) return EK_EVALUE;
    }
    for (size_t d = 0; d < dirs; d++)
        if (a->lengths[d] != 4 * hidden * hidden) return EK_EVALUE;
    s->data_bytes = sizeof(lstm_data) + weights * sizeof(float);
    lstm_data *l = s->data = ek_aligned_alloc(s->data_bytes);
    if (l == NULL) return EK_ENOMEM;
    *l = (lstm_data){items, time, dirs, hidden, blocks};
    float *w = l->weight;
    for (size_t d = 0; d < dirs; d++)
        for (size_t b = 0; b < blocks; b++)
            for (size_t k = 0; k < hidden; k++)
                for (size_t g = 0; g < 4; g++)
                    for (size_t j = 0; j < width; j++) {
                        const size_t unit = b * width + j;
                        *w++ =
                            unit < hidden ? a->arrays[d][(g * hidden + unit) * hidden + k] : 0.0f;
                    }
    return EK_OK;
}

static size_t lstm_units(const ek_nn_step *s, const ek_nn_call *c) {
    const lstm_data *l = s->data;
    return l->directions * ek_nn_ceil(c->n * l->items, EK_LSTM_ROWS);
}

static ek_status lstm_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                          ek_arena *tmp) {
    const lstm_data *l = s->data;
    const size_t width = s->isa->width, hidden = l->hidden, padded = l->blocks * width,
                 all = c->n * l->items;
    const size_t out_row = l->directions * hidden, gate_row = l->directions * l->blocks * 4 * width;
    float *cell = ek_arena_f32(tmp, EK_LSTM_ROWS * padded), *zero = ek_arena_f32(tmp, hidden);
    if (cell == NULL || zero == NULL) return EK_ENOMEM;
    memset(zero, 0, hidden * sizeof(float));
    float *const out = ek_nn_at(c, s->buf[1]);
    const float *const gates = ek_nn_at(c, s->buf[0]);
    for (size_t u = begin; u < end; u++) {
        const size_t dir = u % l->directions, first = u / l->directions * EK_LSTM_ROWS;
        const size_t rows = all - first < EK_LSTM_ROWS ? all - first : EK_LSTM_ROWS;
        const float *h[EK_LSTM_ROWS], *xg[EK_LSTM_ROWS];
        float *cells[EK_LSTM_ROWS], *o[EK_LSTM_ROWS];
        memset(cell, 0, EK_LSTM_ROWS * padded * sizeof(float));
        for (size_t r = 0; r < rows; r++) {
            const size_t state = ((first + r) * l->directions + dir) * hidden;
            cells[r] = cell + r * padded;
            h[r] = s->buf[2] ? ek_nn_at(c, s->buf[2]) + state : zero;
            if (s->buf[3]) memcpy(cells[r], ek_nn_at(c, s->buf[3]) + state, hidden * sizeof(float));
        }
        for (size_t i = 0; i < l->time; i++) {
            const size_t t = dir == 0 ? i : l->time - 1 - i;
            for (size_t r = 0; r < rows; r++) {
                o[r] = out + ((first + r) * l->time + t) * out_row + dir * hidden;
                xg[r] =
                    gates + ((first + r) * l->time + t) * gate_row + dir * l->blocks * 4 * width;
            }
            ek_lstm_block b = {
                .h = h, .xg = xg, .c = cells, .out = o, .rows = rows, .hidden = hidden};
            for (size_t k = 0; k < l->blocks; k++) {
                b.w = l->weight + (dir * l->blocks + k) * hidden * 4 * width;
                b.xg_off = (ptrdiff_t)(k * 4 * width);
                b.c_off = b.out_off = (ptrdiff_t)(k * width);
                b.lanes = hidden - k * width < width ? hidden - k * width : width;
                s->isa->lstm_block(&b);
            }
            for (size_t r = 0; r < rows; r++) h[r] = o[r];
            if (i % 256 == 255) {
                const ek_status st = ek_poll();
                if (st != EK_OK) return st;
            }
        }
        for (size_t r = 0; r < rows; r++) {
            const size_t state = ((first + r) * l->directions + dir) * hidden;
            if (s->buf[4]) memcpy(ek_nn_at(c, s->buf[4]) + state, h[r], hidden * sizeof(float));
            if (s->buf[5]) memcpy(ek_nn_at(c, s->buf[5]) + state, cells[r], hidden * sizeof(float));
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_lstm = {"lstm", lstm_init, lstm_units, lstm_run};
