/* nn_kern.h: what an instruction set brings to the engine. Internal to csrc/nn.
 * Pictures and signals lie channel-blocked: (item, block, y, x, 16 channels); the lanes beyond the
 * last channel hold anything and are never read by a kernel that mixes channels. Everything else
 * lies in plain row-major order. */
#ifndef EK_NN_KERN_H
#define EK_NN_KERN_H
#include "ek_core.h"

enum { EK_LANES = 16, EK_TILE_ROWS = 10, EK_RECUR_ROWS = 8, EK_RECUR_PANEL = 8 };

typedef enum {
    EK_ACT_NONE,
    EK_ACT_RELU,
    EK_ACT_RELU6,
    EK_ACT_SIGMOID,
    EK_ACT_TANH,
    EK_ACT_SILU,
    EK_ACT_GELU,      /* erf */
    EK_ACT_GELU_TANH, /* tanh approximation */
    EK_ACT_LEAKY,     /* slope = parameter */
    EK_ACT_EXP,
    EK_ACT_COUNT,
} ek_act;

/* A stretch of the inner dimension that lies contiguous in memory, `offset` floats from a row's
 * origin. */
typedef struct {
    int32_t offset, length;
} ek_run;

/* One output tile of rows x columns: c[r][.] = clamp(sum_k a[r][k] * b[k][.] + bias + res[r][.],
 * lo, hi). A long inner dimension comes in several calls: each adds its own sum to `from` and all
 * but the last leave the total in `to`, which keeps the error of long sums small and the weights of
 * a call in the first cache. Within a call k walks the runs in order, one fused multiply-add after
 * the other, so a row's bits do not depend on its tile. A NaN passes the clamp. The columns are one
 * panel of one or two vectors; vector v of a row lies at c[r] + v*c_step. */
typedef struct {
    const float *const *a;
    float *const *c;
    const float *const *res; /* NULL: none */
    const float *b;          /* (k, vectors * width), contiguous */
    const float *bias;       /* vectors * width, padded with zeros; added by the last call */
    const float *from;       /* (rows, panel width) totals so far; NULL: the first call */
    float *to;               /* the same place; NULL: the last call, which writes c */
    const ek_run *run;
    size_t runs, rows, columns;
    ptrdiff_t a_off, c_off, res_off; /* added to every a, c, res */
    ptrdiff_t c_step, res_step;
    float lo, hi;
    int fold;           /* every run is a sum of its own */
    const float *ahead; /* what is used next, fetched meanwhile: ahead_step floats a row of b */
    size_t ahead_step;
} ek_tile;

/* One row of a depthwise convolution in one block of 16 channels. */
typedef struct {
    const float *x; /* first tap of the first output */
    float *out;
    const float *w;         /* (kh, kw, 16) */
    const float *bias;      /* 16 */
    size_t n, kh, kw;       /* outputs in the row, taps */
    ptrdiff_t step;         /* floats from one output's first tap to the next one's */
    ptrdiff_t tap_y, tap_x; /* floats between taps */
    float lo, hi;
} ek_dw_row;

/* A window of one block: rows y0..y1, columns x0..x1 of x, `pitch` floats between rows. */
typedef struct {
    const float *x;
    ptrdiff_t pitch;
    size_t y0, y1, x0, x1;
    float scale; /* the average's 1/count */
    float *out;
    size_t lanes; /* channels to write */
} ek_window;

/* One time step's recurrent product of up to the ISA's recur_rows sequences:
 * to[r][j] = from[r][j] + sum_k h[r][k] * w[k][j], k in order. `to` has room for whole vectors. The
 * weights lie in panels of up to EK_RECUR_PANEL vectors, as equal as can be, (hidden, vectors)
 * each: one stream from memory to the multipliers. */
typedef struct {
    const float *const *h;
    const float *const *from;
    float *const *to;
    const float *w; /* zeros from `columns` to the next whole vector */
    size_t rows, hidden, columns;
    int backwards; /* walk panels and k from the last to the first */
} ek_recur;

/* Where the weight of h[k] in column j lies, for vectors of `width` floats. */
static inline size_t ek_recur_at(size_t hidden, size_t columns, size_t width, size_t k, size_t j) {
    const size_t vectors = (columns + width - 1) / width, v = j / width;
    const size_t panels = (vectors + EK_RECUR_PANEL - 1) / EK_RECUR_PANEL;
    size_t i = v * panels / vectors;
    while (vectors * (i + 1) / panels <= v) i++;
    const size_t begin = vectors * i / panels, wide = vectors * (i + 1) / panels - begin;
    return (begin * hidden + k * wide) * width + j - begin * width;
}

/* Where gate g of unit u lies among the sums of an LSTM: the four gates of a block of up to 16
 * units side by side, so that a cell reads whole vectors where the product has stored them. */
static inline size_t ek_lstm_at(size_t hidden, size_t g, size_t u) {
    const size_t first = u / 16 * 16, units = hidden - first < 16 ? hidden - first : 16;
    return 4 * first + g * units + u - first;
}

/* F(4, 3) and F(2, 5) evaluate at 0, +-A, +-B and infinity: of the pairs tried those whose rounding
 * errors come out smallest, and whose squares are exact. */
#define EK_WINO_A 0.75
#define EK_WINO_B 1.5

/* A row of n output tiles in one block of 16 channels, from their points. */
typedef struct {
    const float *m; /* point p of tile t at m + p*point + t*tile */
    size_t point, tile, n;
    const float *bias; /* 16 */
    const float *res;  /* NULL: none */
    float *out;
    unsigned char *bad; /* n flags, raised where a tile's sums are not finite */
    size_t pitch, res_pitch;
    size_t rows,
        columns; /* outputs that exist: 1 or 2 rows, and how many columns from the first tile on */
    float lo, hi;
} ek_wino_out;

/* One row of attention scores of one block of keys, turned into weights in place, and the running
 * state of its softmax: weight = exp(score - top), sum += weights, what came before * fade. */
typedef struct {
    float *x;             /* the scores, `fill` floats; weights afterwards, 0 from n on */
    size_t n, fill;       /* keys that take part; floats to write, n <= fill */
    const float *bias[2]; /* NULL, or n numbers to add */
    const float *keep;    /* NULL, or n numbers: a key of 0 takes no part */
    float scale;
    float *top, *sum; /* in and out: -inf and 0 before the first block */
    float *fade;      /* out: factor for the products of earlier blocks */
} ek_attn_row;

typedef struct {
    const char *name;
    unsigned need;
    size_t width, rows; /* floats in a vector; rows of the widest tile */
    void (*tile)(const ek_tile *t);
    void (*dw_row)(const ek_dw_row *d);
    void (*max_window)(const ek_window *w);
    void (*mean_window)(const ek_window *w);
    /* 4x4 patches two columns apart of a row of n tiles -> 16 points, `point` floats apart */
    void (*wino_in)(const float *x, size_t pitch, size_t n, float *v, size_t point);
    void (*wino_out)(const ek_wino_out *o);
    void (*recur)(const ek_recur *p);
    /* n units of a cell from the sums of its gates: i f g o for the LSTM, as ek_lstm_at has them;
     * r z n for the GRU, `gate` floats apart, where xn is the input's part of n and the sum holds
     * the state's. sums, cell and h (updated) have room for whole vectors, cell and h hold finite
     * numbers there */
    void (*lstm_cell)(const float *sums, float *cell, float *h, size_t n);
    void (*gru_cell)(const float *sums, size_t gate, const float *xn, float *h, size_t n);
    void (*act)(ek_act kind, float param, float *x, size_t n);         /* in place */
    void (*add)(const float *x, const float *y, float *out, size_t n); /* out may be x or y */
    void (*mul)(const float *x, const float *y, float *out, size_t n);
    void (*affine16)(const float *x, const float *scale, const float *shift, float *out,
                     size_t n); /* n groups of 16 */
    void (*softmax)(const float *x, float *out, size_t n);
    void (*layer_norm)(const float *x, const float *scale, const float *shift, float eps,
                       float *out, size_t n);
    void (*attn_row)(const ek_attn_row *r);
    /* n <= width rows of d floats -> out[c*pitch + row], zeros from n to width */
    void (*attn_turn)(const float *const *rows, size_t n, size_t d, float *out, size_t pitch);
    /* Winograd along one row: tiles of 2 outputs of 5 taps or 4 of 3, both from 6 points */
    void (*wino_line_in)(size_t outputs, const float *x, size_t n, float *v, size_t point);
    void (*wino_line_out)(size_t outputs, const ek_wino_out *o);
    /* n groups of 16: the larger of groups 2i and 2i + 1 of x, NaN before all */
    void (*pair_max)(const float *x, float *out, size_t n);
    size_t recur_rows; /* sequences that share the stream of a recurrence's weights */
} ek_nn_isa;

extern const ek_nn_isa ek_nn_isa_ref, ek_nn_isa_avx2, ek_nn_isa_avx512;

#endif
