/* AVX2 and FMA: tiles of 6 x 16. */
#include "nn_kern.h"
#include "vec_avx2.h"
#include "tile_impl.h"
#include "math_impl.h"
#define EK_STRIP 6
#define EK_RECUR_VECTORS                                                                           \
    { 8, 4, 4, 2 }
#define EK_RECUR_CASES EK_RECUR_TO_8(1) EK_RECUR_TO_4(2) EK_RECUR_TO_4(3) EK_RECUR_TO_2(4)
#include "ops_impl.h"
#include "winograd_impl.h"
#include "attention_impl.h"

static void tile(const ek_tile *t) {
    switch (t->rows) {
        EK_TILE_CASE(1)
        EK_TILE_CASE(2)
        EK_TILE_CASE(3)
        EK_TILE_CASE(4)
        EK_TILE_CASE(5)
        EK_TILE_CASE(6)
    }
}

const ek_nn_isa ek_nn_isa_avx2 = {
    "avx2",
    EK_CPU_AVX2,
    VF,
    6,
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
