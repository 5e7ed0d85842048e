/* AVX-512: tiles of 10 x 32. On Zen 4 ten rows reach 117 GFLOP/s of 118 per core, twelve and more
 * 109-113. */
#include "nn_kern.h"
#include "vec_avx512.h"
#include "tile_impl.h"
#include "math_impl.h"
#define EK_STRIP 8
#define EK_RECUR_VECTORS                                                                           \
    { 8, 8, 8, 4, 4, 4, 4, 3 }
#define EK_RECUR_CASES                                                                             \
    EK_RECUR_TO_8(1)                                                                               \
    EK_RECUR_TO_8(2)                                                                               \
    EK_RECUR_TO_8(3)                                                                               \
    EK_RECUR_TO_4(4) EK_RECUR_TO_4(5) EK_RECUR_TO_4(6) EK_RECUR_TO_4(7) EK_RECUR_TO_3(8)
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
        EK_TILE_CASE(7)
        EK_TILE_CASE(8)
        EK_TILE_CASE(9)
        EK_TILE_CASE(10)
    }
}

const ek_nn_isa ek_nn_isa_avx512 = {
    "avx512",
    EK_CPU_AVX512,
    VF,
    10,
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
    .recur_rows = 8,
};
