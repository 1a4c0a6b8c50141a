// Gravitation among a few bodies, all pairs, leapfrog steps: divisions and square roots in a small loop.
#include "kernel.h"

#include <math.h>

const int kernel_iterations = 60;
static int n, steps;

struct body {
    double position[3], velocity[3], mass;
};

static struct body *bodies;

KERNEL static void advance(int count, struct body *all, int rounds, double step) {
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            struct body *one = &all[i];
            for (int j = i + 1; j < count; j++) {
                struct body *other = &all[j];
                double dx = one->position[0] - other->position[0];
                double dy = one->position[1] - other->position[1];
                double dz = one->position[2] - other->position[2];
                double square = dx * dx + dy * dy + dz * dz + 0.01;
                double scale = step / (square * sqrt(square));
                one->velocity[0] -= dx * other->mass * scale;
                one->velocity[1] -= dy * other->mass * scale;
                one->velocity[2] -= dz * other->mass * scale;
                other->velocity[0] += dx * one->mass * scale;
                other->velocity[1] += dy * one->mass * scale;
                other->velocity[2] += dz * one->mass * scale;
            }
        }
        for (int i = 0; i < count; i++) {
            for (int axis = 0; axis < 3; axis++) {
                all[i].position[axis] += step * all[i].velocity[axis];
            }
        }
    }
}

void kernel_setup(void) {
    n = hidden(8);
    steps = hidden(50000);
    bodies = allocate((size_t)n, sizeof *bodies);
    for (int i = 0; i < n; i++) {
        for (int axis = 0; axis < 3; axis++) {
            bodies[i].position[axis] = 10.0 * (next_unit() - 0.5);
            bodies[i].velocity[axis] = next_unit() - 0.5;
        }
        bodies[i].mass = 0.1 + next_unit();
    }
}

void kernel_round(void) { advance(n, bodies, steps, 0.0005); }

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, bodies, sizeof *bodies * (size_t)n); }
