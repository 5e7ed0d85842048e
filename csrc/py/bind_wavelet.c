#include "ekpy.h"

PyMethodDef ekpy_wavelet_methods[] = {
    {NULL, NULL, 0, NULL},
};
