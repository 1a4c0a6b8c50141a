// Escape times of the Mandelbrot set: a scalar loop whose length depends on its data.
#include "kernel.h"

const int kernel_iterations = 10;
static int n, limit;
static unsigned short *picture;
static double centre = -0.5;

KERNEL static void mandelbrot(int size, int bound, double x0, double y0, double width, unsigned short *out) {
    for (int row = 0; row < size; row++) {
        double ci = y0 + width * ((double)row / size - 0.5);
        for (int column = 0; column < size; column++) {
            double cr = x0 + width * ((double)column / size - 0.5);
            double zr = 0.0, zi = 0.0;
            int step = 0;
            while (step < bound) {
                double rr = zr * zr, ii = zi * zi;
                if (rr + ii > 4.0) {
                    break;
                }
                zi = 2.0 * zr * zi + ci;
                zr = rr - ii + cr;
                step++;
            }
            out[row * size + column] = (unsigned short)step;
        }
    }
}

void kernel_setup(void) {
    n = hidden(500);
    limit = hidden(300);
    picture = allocate((size_t)n * n, sizeof *picture);
}

void kernel_round(void) {
    mandelbrot(n, limit, centre, 0.0, 3.0, picture);
    centre -= 0.001;
}

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, picture, sizeof *picture * (size_t)n * n); }
