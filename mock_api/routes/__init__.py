"""The operations of the service, one module for each thing that they work on."""
