"""Finds tools by what somebody wants done, for APIs that are too large to list.

In the order in which to read them:

    words         names and sentences as stems
    synonyms      words that people use for one another
    spelling      the word that was meant
    entries       what is known of a tool, and how much each word of it counts
    ranker        which tools fit a request, the best first
    reading       what is known of each tool, whoever offers it
    answers       what is said of the tools, in few words
    snapshot      the tools as they are at one time
    surface       which tools a client is shown, and what the search answers
    answering     the answers to those who search
    tools         the tools of the search
    provider      those tools, to who is shown them
"""
