"""Tokens and money: nothing is asked that might exceed the budget."""

from __future__ import annotations

from fivestones.chat.cache import ReplyCache, Spent
from fivestones.recipe_chat import BudgetPart

_MILLION = 1_000_000
_BYTES_A_TOKEN = 2.5  # of text; English has about 4, so that an estimate is rather too high
_FRAME = 32  # tokens that a chat template adds


class Budget:
    """What was spent is in the cache, so that a resumed run goes on counting; what is under way is here.

    account: whose spending it is, a model's name.
    """

    def __init__(self, part: BudgetPart, cache: ReplyCache, account: str) -> None:
        self._part = part
        self._cache = cache
        self._account = account
        self._reserved_tokens = 0
        self._reserved_money = 0.0

    def cost(self, input_tokens: int, output_tokens: int) -> Spent:
        money = input_tokens * self._part.input_price + output_tokens * self._part.output_price
        return Spent(input_tokens, output_tokens, money / _MILLION)

    def estimate(self, text_bytes: int, max_tokens: int) -> Spent:
        """The most that a request may cost: `text_bytes` of messages, an answer of `max_tokens`."""
        return self.cost(int(text_bytes / _BYTES_A_TOKEN) + _FRAME, max_tokens)

    def reserve(self, most: Spent) -> bool:
        """Sets the cost of a request aside until `settle`; False: there is not so much left."""
        part = self._part
        if part.tokens is not None or part.money is not None:
            spent = self._cache.spent(self._account)
            tokens = spent.tokens + self._reserved_tokens + most.tokens
            money = spent.money + self._reserved_money + most.money
            if part.tokens is not None and tokens > part.tokens:
                return False
            if part.money is not None and money > part.money:
                return False
        self._reserved_tokens += most.tokens
        self._reserved_money += most.money
        return True

    def settle(self, most: Spent) -> None:
        """The request has ended; what it cost is in the cache."""
        self._reserved_tokens -= most.tokens
        self._reserved_money -= most.money
