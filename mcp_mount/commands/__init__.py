"""What the command does for who writes an app.

The order in which to read it:

    apps           the app that a command names
"""
