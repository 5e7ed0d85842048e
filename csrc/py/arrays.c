#include "ekpy.h"
#include <stdio.h>

static void shape_text(int nd, const npy_intp *shape, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < nd && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, i ? ", %zd" : "%zd", (Py_ssize_t)shape[i]);
    if (used < size) snprintf(text + used, size - used, nd == 1 ? ",)" : ")");
}

static int numeric(int type) {
    return (PyTypeNum_ISINTEGER(type) && type != NPY_TIMEDELTA) || PyTypeNum_ISFLOAT(type);
}

static PyArrayObject *as_array(const ekpy_sig *sig, PyObject *o, const char *arg) {
    PyArrayObject *x = (PyArrayObject *)PyArray_FROM_O(o);
    if (x == NULL) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear();
            ekpy_error("LayoutError", "%s: %s is not an array: its rows have different lengths",
                       sig->name, arg);
        }
        return NULL;
    }
    if (!numeric(PyArray_TYPE(x))) {
        PyErr_Format(PyExc_TypeError, "%s: %s must hold real numbers, got dtype %S", sig->name, arg,
                     (PyObject *)PyArray_DESCR(x));
        Py_CLEAR(x);
    }
    return x;
}

int ekpy_float_type(const ekpy_sig *sig, PyObject *o, const char *arg) {
    PyArrayObject *x = as_array(sig, o, arg);
    if (x == NULL) return -1;
    const int type = PyArray_TYPE(x) == NPY_DOUBLE ? NPY_DOUBLE : NPY_FLOAT;
    Py_DECREF(x);
    return type;
}

PyArrayObject *ekpy_samples(const ekpy_sig *sig, PyObject *o, int nd, const char *arg) {
    if (!PyArray_Check(o) || PyArray_TYPE((PyArrayObject *)o) != NPY_INT64 ||
        PyArray_NDIM((PyArrayObject *)o) != nd) {
        PyErr_Format(PyExc_TypeError, "%s: %s must be an int64 array of %d dimensions", sig->name,
                     arg, nd);
        return NULL;
    }
    return (PyArrayObject *)PyArray_FROMANY(o, NPY_INT64, nd, nd, NPY_ARRAY_IN_ARRAY);
}

PyArrayObject *ekpy_in(const ekpy_sig *sig, PyObject *o, int type, int ndmin, int ndmax,
                       const char *arg) {
    PyArrayObject *any = as_array(sig, o, arg);
    if (any == NULL) return NULL;
    const int nd = PyArray_NDIM(any);
    if (nd < ndmin || nd > ndmax) {
        char shape[256];
        shape_text(nd, PyArray_DIMS(any), shape, sizeof shape);
        if (ndmin == ndmax)
            ekpy_error("LayoutError", "%s: %s must have %d dimensions, got shape %s", sig->name,
                       arg, ndmin, shape);
        else
            ekpy_error("LayoutError", "%s: %s must have %d to %d dimensions, got shape %s",
                       sig->name, arg, ndmin, ndmax, shape);
        Py_DECREF(any);
        return NULL;
    }
    const int flags =
        NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED | NPY_ARRAY_FORCECAST;
    PyArrayObject *x = (PyArrayObject *)PyArray_FROM_OTF((PyObject *)any, type, flags);
    Py_DECREF(any);
    return x;
}

PyArrayObject *ekpy_out(const ekpy_sig *sig, PyObject *o, int type, int nd, const npy_intp *shape,
                        const char *arg) {
    if (o == NULL) return (PyArrayObject *)PyArray_SimpleNew(nd, (npy_intp *)shape, type);
    char wanted[256], got[256] = "";
    shape_text(nd, shape, wanted, sizeof wanted);
    int fits = PyArray_Check(o);
    if (fits) {
        PyArrayObject *x = (PyArrayObject *)o;
        shape_text(PyArray_NDIM(x), PyArray_DIMS(x), got, sizeof got);
        fits = PyArray_NDIM(x) == nd && PyArray_CompareLists(PyArray_DIMS(x), shape, nd) &&
               PyArray_TYPE(x) == type && PyArray_ISCARRAY(x);
    }
    if (!fits) {
        PyArray_Descr *d = PyArray_DescrFromType(type);
        PyErr_Format(PyExc_ValueError,
                     "%s: %s must be a writeable C-contiguous %S array of shape %s; got %R %s",
                     sig->name, arg, (PyObject *)d, wanted, (PyObject *)Py_TYPE(o), got);
        Py_XDECREF((PyObject *)d);
        return NULL;
    }
    Py_INCREF(o);
    return (PyArrayObject *)o;
}

int ekpy_no_overlap(const ekpy_sig *sig, PyArrayObject *out, PyArrayObject *in, const char *arg) {
    const char *o = PyArray_BYTES(out), *x = PyArray_BYTES(in);
    if (o < x + PyArray_NBYTES(in) && x < o + PyArray_NBYTES(out)) {
        PyErr_Format(PyExc_ValueError, "%s: out shares memory with %s; pass another array",
                     sig->name, arg);
        return -1;
    }
    return 0;
}

int ekpy_same_dim(const ekpy_sig *sig, PyArrayObject *x, int dx, PyArrayObject *y, int dy,
                  const char *what) {
    if (PyArray_DIM(x, dx) == PyArray_DIM(y, dy)) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s differ in dimension %d (%zd and %zd)", sig->name, what,
                 dx, (Py_ssize_t)PyArray_DIM(x, dx), (Py_ssize_t)PyArray_DIM(y, dy));
    return -1;
}

size_t ekpy_dims(PyArrayObject *x, int first, int last) {
    size_t n = 1;
    for (int i = first; i < last; i++) n *= (size_t)PyArray_DIM(x, i);
    return n;
}
