"""Look at a cluster in a browser, steer it a little. Its modules follow."""
