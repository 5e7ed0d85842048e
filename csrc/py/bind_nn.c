#include "ekpy.h"

PyMethodDef ekpy_nn_methods[] = {
    {NULL, NULL, 0, NULL},
};
