/* Copies between layouts, and permutations of plain tensors.
 *   layout   bufs in, out   no arguments; equal (items, c, h, w), any lanes and borders
 *   permute  bufs in, out   ints out's shape, then for each of its axes the stride in the input, in
 * floats; then an offset plain, no borders: also what slices, transposes and repeats need concat
 * bufs out, in ...   ints outer, then the inner length of each input; plain: (outer, inner) side by
 * side */
#include "nn_step.h"
#include <string.h>

static ek_status layout_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || s->buf[0] == NULL || s->buf[1] == NULL) return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    if (in->items != out->items || in->c != out->c || in->h != out->h || in->w != out->w)
        return EK_EVALUE;
    return EK_OK;
}

static size_t layout_units(const ek_nn_step *s, const ek_nn_call *c) { /* groups of 16 channels */
    return c->n * s->buf[0]->items * ek_nn_ceil(s->buf[0]->c, EK_LANES) +
           (size_t)ek_nn_has_border(s->buf[1]);
}

static ek_status layout_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    const size_t groups = ek_nn_ceil(in->c, EK_LANES), all = c->n * in->items * groups;
    const size_t in_lane = in->lanes == 1 ? in->plane : 1,
                 out_lane = out->lanes == 1 ? out->plane : 1;
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        if (u == all) {
            ek_nn_zero_border(out, ek_nn_at(c, out), 0, c->n * out->items);
            break;
        }
        const size_t item = u / groups, first = u % groups * EK_LANES;
        const size_t lanes = in->c - first < EK_LANES ? in->c - first : EK_LANES;
        const float *x =
            ek_nn_at(c, in) + item * in->item + in->origin + first / in->lanes * in->plane;
        float *o =
            ek_nn_at(c, out) + item * out->item + out->origin + first / out->lanes * out->plane;
        for (size_t y = 0; y < in->h; y++, x += in->pitch, o += out->pitch) {
            if (in->lanes == 1 && out->lanes == 1) {
                for (size_t l = 0; l < lanes; l++)
                    memcpy(o + l * out_lane, x + l * in_lane, in->w * sizeof(float));
            } else if (in->lanes == out->lanes) {
                memcpy(o, x, in->w * EK_LANES * sizeof(float));
            } else {
                for (size_t l = 0; l < lanes; l++)
                    for (size_t i = 0; i < in->w; i++)
                        o[l * out_lane + i * out->lanes] = x[l * in_lane + i * in->lanes];
                if (out->lanes !=
                    1) /* lanes beyond the last channel: defined, though nobody mixes them in */
                    for (size_t l = lanes; l < EK_LANES; l++)
                        for (size_t i = 0; i < in->w; i++) o[l + i * EK_LANES] = 0.0f;
            }
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_layout = {"layout", layout_init, layout_units, layout_run};

enum { MAX_AXES = 8 };

typedef struct {
    size_t nd, shape[MAX_AXES];
    ptrdiff_t stride[MAX_AXES], offset;
} permute_data;

static ek_status permute_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs != 2 || s->buf[0] == NULL || s->buf[1] == NULL || a->nints % 2 != 1 ||
        a->nints / 2 > MAX_AXES || a->nints < 3)
        return EK_EVALUE;
    const ek_nn_buf *in = s->buf[0], *out = s->buf[1];
    if (in->lanes != 1 || out->lanes != 1 || ek_nn_has_border(in) || ek_nn_has_border(out))
        return EK_EVALUE;
    permute_data d = {.nd = a->nints / 2, .offset = (ptrdiff_t)a->ints[a->nints - 1]};
    size_t count = 1;
    ptrdiff_t low = d.offset, high = d.offset;
    for (size_t i = 0; i < d.nd; i++) {
        if (a->ints[i] < 1 || (size_t)a->ints[i] > out->size) return EK_EVALUE;
        d.shape[i] = (size_t)a->ints[i];
        d.stride[i] = (ptrdiff_t)a->ints[d.nd + i];
        ptrdiff_t reach;
        if (__builtin_mul_overflow(count, d.shape[i], &count) ||
            __builtin_mul_overflow((ptrdiff_t)(d.shape[i] - 1), d.stride[i], &reach))
            return EK_EVALUE;
        if (__builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high))
            return EK_EVALUE;
    }
    if (count != out->size || low < 0 || high >= (ptrdiff_t)in->size) return EK_EVALUE;
    s->data = ek_aligned_alloc(sizeof d);
    if (s->data == NULL) return EK_ENOMEM;
    memcpy(s->data, &d, sizeof d);
    s->data_bytes = sizeof d;
    return EK_OK;
}

static size_t permute_units(const ek_nn_step *s, const ek_nn_call *c) {
    const permute_data *d = s->data;
    return c->n * d->shape[0];
}

static ek_status permute_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                             ek_arena *tmp) {
    const permute_data *d = s->data;
    const size_t per_unit = s->buf[1]->size / d->shape[0], inner = d->shape[d->nd - 1];
    const ptrdiff_t last = d->stride[d->nd - 1];
    (void)tmp;
    for (size_t u = begin; u < end; u++) {
        const float *x = ek_nn_at(c, s->buf[0]) + u / d->shape[0] * s->buf[0]->size + d->offset;
        float *o = ek_nn_at(c, s->buf[1]) + u * per_unit;
        x += (ptrdiff_t)(u % d->shape[0]) * d->stride[0];
        if (d->nd == 1) {
            *o = *x;
            continue;
        }
        size_t index[MAX_AXES] = {0};
        for (size_t done = 0; done < per_unit; done += inner) {
            const float *row = x;
            for (size_t i = 1; i + 1 < d->nd; i++) row += (ptrdiff_t)index[i] * d->stride[i];
            for (size_t j = 0; j < inner; j++) o[done + j] = row[(ptrdiff_t)j * last];
            for (size_t i = d->nd - 1; i-- > 1;) {
                if (++index[i] < d->shape[i]) break;
                index[i] = 0;
            }
        }
    }
    return EK_OK;
}

const ek_nn_op ek_nn_permute = {"permute", permute_init, permute_units, permute_run};

static ek_status concat_init(ek_nn_step *s, const ek_nn_args *a) {
    if (a->nbufs < 2 || a->nints != a->nbufs || a->ints[0] < 1) return EK_EVALUE;
    size_t inner = 0, size;
    for (size_t i = 0; i < a->nbufs; i++) {
        const ek_nn_buf *b = s->buf[i];
        if (b == NULL || b->lanes != 1 || ek_nn_has_border(b)) return EK_EVALUE;
        if (i == 0) continue;
        if (a->ints[i] < 1 ||
            __builtin_mul_overflow((size_t)a->ints[0], (size_t)a->ints[i], &size) ||
            size != b->size)
            return EK_EVALUE;
        inner += (size_t)a->ints[i];
    }
    if ((size_t)a->ints[0] * inner != s->buf[0]->size) return EK_EVALUE;
    s->data_bytes = a->nints * sizeof(size_t);
    size_t *d = s->data = ek_aligned_alloc(s->data_bytes);
    if (d == NULL) return EK_ENOMEM;
    for (size_t i = 0; i < a->nints; i++) d[i] = (size_t)a->ints[i];
    return EK_OK;
}

static size_t concat_units(const ek_nn_step *s, const ek_nn_call *c) { /* one per input */
    (void)c;
    return s->nbufs - 1;
}

static ek_status concat_run(const ek_nn_step *s, const ek_nn_call *c, size_t begin, size_t end,
                            ek_arena *tmp) {
    const size_t *d = s->data, outer = c->n * d[0], row = s->buf[0]->size / d[0];
    (void)tmp;
    size_t at = 0;
    for (size_t i = 1; i <= end; i++) {
        const size_t inner = d[i];
        if (i > begin) {
            const float *x = ek_nn_at(c, s->buf[i]);
            float *o = ek_nn_at(c, s->buf[0]) + at;
            for (size_t k = 0; k < outer; k++)
                memcpy(o + k * row, x + k * inner, inner * sizeof(float));
        }
        at += inner;
    }
    return EK_OK;
}

const ek_nn_op ek_nn_concat = {"concat", concat_init, concat_units, concat_run};
