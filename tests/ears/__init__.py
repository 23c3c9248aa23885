"""Tests of the room where our own model is made. One core, tiny sounds, no voice unless the native tree is there."""

NO_TORCH = "torch is not installed; make ears sets it up"
